//! `cargo xtask demo`: the main job of the gateway, on a simulated provider, in front of one's eyes.
//!
//! A person logs in, makes a token, gets a streamed answer with it, and has no access once it is removed. Everything
//! lives in a scratch directory and in two child processes that end with this one. The development profile is used: on a
//! new machine it is ready in a fraction of the time that the optimised build takes, and it is the one that the test run
//! uses.

mod child;
mod stage;
mod steps;

use std::thread;
use std::time::Duration;

use anyhow::bail;

pub(crate) use self::child::Child;
pub(crate) use self::stage::{Setting, Stage};
use crate::interrupt;
use crate::workspace::{Build, Programs, Workspace};

/// The steps of a demonstration on a stage.
struct Demo<'a> {
    stage: &'a Stage,
}

pub(crate) fn run(workspace: &Workspace, once: bool) -> anyhow::Result<()> {
    heading("Building the gateway and the simulated provider");
    let programs = workspace.build(Build::Programs)?;
    match with(&programs, once) {
        // Served until Ctrl-C or ended by it before: either is what the user wanted.
        Err(_) if !once && interrupt::happened() => {
            println!("\nstopped");
            Ok(())
        }
        result => result,
    }
}

/// Demonstrates programs that are already built.
pub(crate) fn with(programs: &Programs, once: bool) -> anyhow::Result<()> {
    let mut stage = Stage::start(programs)?;
    if let Err(error) = (Demo { stage: &stage }).show() {
        stage.show_logs();
        return Err(error);
    }
    if !once {
        serve(&mut stage)?;
    }
    stage.stop()
}

/// Waits for Ctrl-C, or for the end of a child, which is a failure.
fn serve(stage: &mut Stage) -> anyhow::Result<()> {
    println!("\nServing on http://{} until Ctrl-C.", stage.address);
    while !interrupt::happened() {
        stage.require_running()?;
        thread::sleep(Duration::from_millis(100));
    }
    println!();
    Ok(())
}

// === impl Demo ===

impl Demo<'_> {
    fn show(&self) -> anyhow::Result<()> {
        self.stage.owner()?;
        let token = self.stage.token("my-ai-token")?;
        self.ask(&token)?;
        self.remove("my-ai-token")?;
        self.refused(&token)?;
        let second = self.stage.token("my-next-token")?;
        self.point_clients(&second);
        Ok(())
    }
}

fn heading(text: &str) {
    println!("\n\u{25b8} {text}");
}

/// Ends a demonstration between two steps when the user asked for it.
fn go_on() -> anyhow::Result<()> {
    if interrupt::happened() {
        bail!("interrupted");
    }
    Ok(())
}
