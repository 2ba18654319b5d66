//! The tests in `tests/python`: the official packages against the built gateway. Those for Node.js are in a folder
//! beside.

use std::process::Command;

use super::node;
use super::python::{self, Suite};
use crate::report::Count;
use crate::workspace::Workspace;

const SUITE: Suite = Suite {
    folder: "tests/python",
    environment: "sdk-venv",
};

pub(super) fn run(
    workspace: &Workspace,
    count: &mut Count,
    prepare: impl Fn(&mut Command) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let packages = node::environment(
        &workspace.target.join("sdk-node"),
        &workspace.root.join("tests/node"),
    )?;
    python::run(workspace, &SUITE, count, |command| {
        command.env("SDK_NODE_DIR", &packages);
        prepare(command)
    })
}
