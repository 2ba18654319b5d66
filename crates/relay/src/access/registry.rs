//! Who is in flight with which token, and how to end it.
//!
//! A request enters under its token's id *before* the token is verified, and is bound to the user once that is
//! known; so whoever removes either finds it, at whatever step it is. Cutting has two steps: `Entry::begin`
//! asks the request to end by itself (every frame checks the flag), `Entry::sever` takes its connections away.
//! Neither waits for a peer. `Entry::settled` then waits for what a shared connection had staged already.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use futures_util::future::{BoxFuture, join_all};
use gateway_core::{TokenId, UserId};
use parking_lot::Mutex;
use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};

/// Something that can be taken away from a request at any moment: a connection, or a stream within one.
pub trait Sever: Send + Sync {
    /// Takes it away without waiting for anybody. Of a connection, nothing more is handed to the kernel from the
    /// return on; of a stream, nothing more enters the buffers of the connection that it shares. Idempotent.
    fn sever(&self);

    /// After `sever`: ready when nothing more of it can be handed to the kernel. Waits for no peer, so at most for
    /// [`GOODBYE`](super::GOODBYE).
    fn settled(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

/// All that is in flight.
#[derive(Default)]
pub(crate) struct Registry {
    next_id: AtomicU64,
    index: Mutex<Index>,
}

#[derive(Default)]
struct Index {
    by_token: HashMap<TokenId, BTreeMap<u64, Arc<Entry>>>,
    by_user: HashMap<UserId, BTreeMap<u64, Arc<Entry>>>,
}

/// One request, or one connection of the proxy, in flight.
pub(crate) struct Entry {
    id: u64,
    token_id: TokenId,
    user_id: Mutex<Option<UserId>>,
    /// Set first, checked by every frame.
    cutting: AtomicBool,
    /// Cancelled right after `cutting` is set: wakes whoever waits.
    cut: CancellationToken,
    /// Cancelled when the request is over.
    ended: CancellationToken,
    connections: Mutex<Connections>,
}

#[derive(Default)]
struct Connections {
    severed: bool,
    downstream: Option<Arc<dyn Sever>>,
    upstream: Option<Arc<dyn Sever>>,
    /// Taken away already; a cut waits until they have settled.
    taken: Vec<Arc<dyn Sever>>,
}

/// Which side of the request a connection is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Towards the client.
    Downstream,
    /// Towards the provider.
    Upstream,
}

/// Keeps the request in the registry; leaving it is dropping this.
pub(crate) struct Registered {
    registry: Arc<Registry>,
    entry: Arc<Entry>,
}

// === impl Registry ===

impl Registry {
    pub(crate) fn enter(self: &Arc<Self>, token_id: TokenId) -> Registered {
        let entry = Arc::new(Entry {
            id: self.next_id.fetch_add(1, Ordering::Relaxed),
            token_id,
            user_id: Mutex::new(None),
            cutting: AtomicBool::new(false),
            cut: CancellationToken::new(),
            ended: CancellationToken::new(),
            connections: Mutex::default(),
        });
        self.index
            .lock()
            .by_token
            .entry(token_id)
            .or_default()
            .insert(entry.id, Arc::clone(&entry));
        Registered {
            registry: Arc::clone(self),
            entry,
        }
    }

    pub(crate) fn of_token(&self, token_id: TokenId) -> Vec<Arc<Entry>> {
        self.index
            .lock()
            .by_token
            .get(&token_id)
            .map(values)
            .unwrap_or_default()
    }

    pub(crate) fn of_user(&self, user_id: UserId) -> Vec<Arc<Entry>> {
        self.index
            .lock()
            .by_user
            .get(&user_id)
            .map(values)
            .unwrap_or_default()
    }

    pub(crate) fn everyone(&self) -> Vec<Arc<Entry>> {
        self.index.lock().by_token.values().flat_map(values).collect()
    }

    /// How many requests are in flight.
    pub(crate) fn len(&self) -> usize {
        self.index.lock().by_token.values().map(BTreeMap::len).sum()
    }
}

fn values(entries: &BTreeMap<u64, Arc<Entry>>) -> Vec<Arc<Entry>> {
    entries.values().cloned().collect()
}

impl Index {
    fn remove(&mut self, entry: &Entry, user_id: Option<UserId>) {
        if let Some(entries) = self.by_token.get_mut(&entry.token_id) {
            entries.remove(&entry.id);
            if entries.is_empty() {
                self.by_token.remove(&entry.token_id);
            }
        }
        if let Some(user_id) = user_id
            && let Some(entries) = self.by_user.get_mut(&user_id)
        {
            entries.remove(&entry.id);
            if entries.is_empty() {
                self.by_user.remove(&user_id);
            }
        }
    }
}

// === impl Entry ===

impl Entry {
    /// Asks the request to end. Idempotent.
    pub(crate) fn begin(&self) {
        self.cutting.store(true, Ordering::SeqCst);
        self.cut.cancel();
    }

    /// Takes the connections away, now and if more are attached later. Idempotent.
    pub(crate) fn sever(&self) {
        self.begin();
        // Severing is short and takes only the connection's own lock, so it may happen under this one: a
        // connection attached meanwhile waits, and then finds the flag.
        let mut connections = self.connections.lock();
        connections.severed = true;
        for connection in [connections.downstream.take(), connections.upstream.take()]
            .into_iter()
            .flatten()
        {
            connections.take_away(connection);
        }
    }

    /// Ready when nothing more of what was severed can be handed to the kernel.
    pub(crate) async fn settled(&self) {
        let taken = self.connections.lock().taken.clone();
        join_all(taken.iter().map(|connection| connection.settled())).await;
    }

    pub(crate) fn is_cut(&self) -> bool {
        self.cutting.load(Ordering::SeqCst)
    }

    pub(crate) fn cut(&self) -> WaitForCancellationFuture<'_> {
        self.cut.cancelled()
    }

    pub(crate) fn cut_token(&self) -> &CancellationToken {
        &self.cut
    }

    pub(crate) fn ended(&self) -> WaitForCancellationFuture<'_> {
        self.ended.cancelled()
    }

    pub(crate) fn attach(&self, side: Side, connection: Arc<dyn Sever>) {
        let mut connections = self.connections.lock();
        if connections.severed {
            connections.take_away(connection);
            return;
        }
        *connections.slot(side) = Some(connection);
    }

    pub(crate) fn detach(&self, side: Side) {
        *self.connections.lock().slot(side) = None;
    }
}

impl Connections {
    fn slot(&mut self, side: Side) -> &mut Option<Arc<dyn Sever>> {
        match side {
            Side::Downstream => &mut self.downstream,
            Side::Upstream => &mut self.upstream,
        }
    }

    fn take_away(&mut self, connection: Arc<dyn Sever>) {
        connection.sever();
        self.taken.push(connection);
    }
}

// === impl Registered ===

impl Registered {
    pub(crate) fn entry(&self) -> &Arc<Entry> {
        &self.entry
    }

    /// From the return on, a cut of this user finds the request.
    pub(crate) fn bind(&self, user_id: UserId) {
        let mut index = self.registry.index.lock();
        let before = self.entry.user_id.lock().replace(user_id);
        if let Some(before) = before.filter(|before| *before != user_id)
            && let Some(entries) = index.by_user.get_mut(&before)
        {
            entries.remove(&self.entry.id);
        }
        index
            .by_user
            .entry(user_id)
            .or_default()
            .insert(self.entry.id, Arc::clone(&self.entry));
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        let mut connections = self.entry.connections.lock();
        // It may serve somebody else's next request; a cut that still holds the entry must not find it.
        connections.downstream = None;
        // One that is still here has not been given all of the request, and nobody waits for the answer any more.
        // What it has buffered must not go out when no revocation finds the request.
        if let Some(upstream) = connections.upstream.take() {
            connections.take_away(upstream);
        }
        drop(connections);
        let user_id = *self.entry.user_id.lock();
        self.registry.index.lock().remove(&self.entry, user_id);
        self.entry.ended.cancel();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Line(AtomicBool);

    impl Sever for Line {
        fn sever(&self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }

    fn token_id() -> TokenId {
        "0123456789".parse().unwrap()
    }

    #[test]
    fn entries_are_found_by_token_and_by_user_until_they_leave() {
        let registry = Arc::new(Registry::default());
        let user = UserId::generate();
        let first = registry.enter(token_id());
        let second = registry.enter(token_id());
        assert_eq!(registry.of_token(token_id()).len(), 2);
        assert!(registry.of_user(user).is_empty());
        first.bind(user);
        assert_eq!(registry.of_user(user).len(), 1);
        drop(first);
        drop(second);
        assert_eq!(registry.len(), 0);
        assert!(registry.index.lock().by_token.is_empty() && registry.index.lock().by_user.is_empty());
    }

    #[test]
    fn a_connection_attached_too_late_is_severed_at_once() {
        let registry = Arc::new(Registry::default());
        let registered = registry.enter(token_id());
        let (early, late) = (Arc::new(Line(false.into())), Arc::new(Line(false.into())));
        registered
            .entry()
            .attach(Side::Downstream, Arc::clone(&early) as Arc<dyn Sever>);
        registered.entry().sever();
        registered
            .entry()
            .attach(Side::Upstream, Arc::clone(&late) as Arc<dyn Sever>);
        assert!(early.0.load(Ordering::SeqCst) && late.0.load(Ordering::SeqCst));
        assert!(registered.entry().is_cut());
    }

    #[test]
    fn the_connection_of_a_request_that_is_over_is_left_alone() {
        let registry = Arc::new(Registry::default());
        let registered = registry.enter(token_id());
        let line = Arc::new(Line(false.into()));
        registered
            .entry()
            .attach(Side::Downstream, Arc::clone(&line) as Arc<dyn Sever>);
        let held_by_a_cut = registry.of_token(token_id());
        drop(registered);
        held_by_a_cut[0].sever();
        assert!(!line.0.load(Ordering::SeqCst));
    }

    #[test]
    fn the_connection_of_an_upload_that_is_given_up_is_severed() {
        let registry = Arc::new(Registry::default());
        let registered = registry.enter(token_id());
        let line = Arc::new(Line(false.into()));
        registered
            .entry()
            .attach(Side::Upstream, Arc::clone(&line) as Arc<dyn Sever>);
        drop(registered);
        assert!(line.0.load(Ordering::SeqCst));
    }

    #[test]
    fn a_detached_connection_is_left_alone() {
        let registry = Arc::new(Registry::default());
        let registered = registry.enter(token_id());
        let line = Arc::new(Line(false.into()));
        registered
            .entry()
            .attach(Side::Upstream, Arc::clone(&line) as Arc<dyn Sever>);
        registered.entry().detach(Side::Upstream);
        registered.entry().sever();
        assert!(!line.0.load(Ordering::SeqCst));
    }
}
