//! The memory that an idle tunnel takes: that of the process, without the kernel's for the connections.

use std::net::TcpListener;
use std::time::Duration;

use anyhow::Context;

use super::Through;
use crate::demo::Stage;

const TUNNELS: u32 = 2000;
/// Opened before, so that what is there once for all of them is not counted.
const FIRST: u32 = 100;
/// How long they are left alone before a look at the memory.
const REST: Duration = Duration::from_secs(2);

/// In KiB for one tunnel, none of which is intercepted and none of which carries a byte.
pub(super) fn memory(stage: &Stage, through: &Through, listener: TcpListener) -> anyhow::Result<f64> {
    println!("opening {TUNNELS} tunnels");
    listener.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the clients")?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let target = listener.local_addr()?;
        let mut held = Vec::new();
        let mut memory = [0; 2];
        for (memory, tunnels) in memory.iter_mut().zip([FIRST, TUNNELS]) {
            for _ in 0..tunnels {
                let accepted = async { Ok(listener.accept().await?) };
                held.push(tokio::try_join!(through.tunnel(target), accepted)?);
            }
            tokio::time::sleep(REST).await;
            *memory = stage.server_memory()?;
        }
        let [before, after] = memory;
        let grown = u32::try_from(after.saturating_sub(before) / 1024).context("far too much memory")?;
        Ok(f64::from(grown) / f64::from(TUNNELS))
    })
}
