//! A way to a server that can be cut: nothing comes through and nobody is told, as when a machine loses its power.
//!
//! What was under way then is lost for good; only connections made after the mending get through.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

pub(crate) struct Link {
    address: SocketAddr,
    is_cut: Arc<watch::Sender<bool>>,
    /// Ends with the link.
    _tasks: JoinSet<()>,
}

// === impl Link ===

impl Link {
    pub(crate) async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let is_cut = Arc::new(watch::Sender::new(false));
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, target, Arc::clone(&is_cut)));
        Self {
            address,
            is_cut,
            _tasks: tasks,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn cut(&self) {
        self.is_cut.send_replace(true);
    }

    pub(crate) fn mend(&self) {
        self.is_cut.send_replace(false);
    }
}

async fn accept(listener: TcpListener, target: SocketAddr, is_cut: Arc<watch::Sender<bool>>) {
    let mut connections = JoinSet::new();
    loop {
        let (near, _) = listener.accept().await.unwrap();
        let mut is_cut = is_cut.subscribe();
        connections.spawn(async move {
            let carried = async {
                let mut far = TcpStream::connect(target).await?;
                let mut near = near;
                copy_bidirectional(&mut near, &mut far).await
            };
            let mut carried = std::pin::pin!(carried);
            tokio::select! {
                biased;
                _ = is_cut.wait_for(|is_cut| *is_cut) => {}
                _ = &mut carried => return,
            }
            // The sockets stay open, and nobody reads them any more.
            std::future::pending::<()>().await;
        });
        while connections.try_join_next().is_some() {}
    }
}
