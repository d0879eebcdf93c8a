//! A node with its pages.

use anyhow::{Context as _, Result};
use casemesh_node::clock::Clock;
use casemesh_node::node::Node;
use std::net::SocketAddr;
use std::path::Path;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A running node and its pages.
#[derive(Debug)]
pub struct Served {
    /// The node.
    pub node: Node,
    /// Where its pages are.
    pub address: SocketAddr,
    stop: watch::Sender<bool>,
    pages: JoinHandle<std::io::Result<()>>,
}

impl Served {
    /// Starts the node of a folder and serves its pages on the address that its configuration names.
    ///
    /// # Errors
    /// When the folder, the network or the address refuses.
    pub async fn start(folder: &Path) -> Result<Self> {
        let owned = folder.to_owned();
        let node = tokio::task::spawn_blocking(move || Node::start(&owned, Clock::system())).await??;
        let web = node.config().web.clone();
        let address: SocketAddr = web.parse().with_context(|| format!("`web` in node.toml is no address: {web}"))?;
        anyhow::ensure!(
            address.ip().is_loopback(),
            "`web` in node.toml is {address}; this version serves its pages on this computer only: use 127.0.0.1"
        );
        let listener = tokio::net::TcpListener::bind(address)
            .await
            .with_context(|| format!("cannot serve pages on {address}; is another program using the port?"))?;
        let address = listener.local_addr()?;
        node.serves_pages_at(address)?;
        let (stop, mut stopped) = watch::channel(false);
        let shutdown = async move {
            // An error means that the sender is gone, which ends the pages as well.
            let _ended = stopped.wait_for(|stop| *stop).await;
        };
        let pages = tokio::spawn(casemesh_web::serve(listener, node.clone(), shutdown));
        Ok(Self { node, address, stop, pages })
    }

    /// Ends pages and node.
    ///
    /// # Errors
    /// When the pages had failed.
    pub async fn stop(self) -> Result<()> {
        self.stop.send_replace(true);
        self.pages.await??;
        let node = self.node;
        tokio::task::spawn_blocking(move || node.stop()).await?;
        Ok(())
    }
}
