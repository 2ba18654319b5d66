//! The body of an export: chunks for as long as the caller may have them.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::Stream;
use futures_util::stream::BoxStream;
use gateway_relay::access::{Admission, InFlight, Side};
use gateway_relay::listen::Downstream;
use tokio::sync::Notify;
use tokio_util::sync::WaitForCancellationFutureOwned;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use crate::service::error::ServiceError;
use crate::service::places::Place;

/// How long a client may take nothing.
const PATIENCE: Duration = Duration::from_mins(2);

/// Gives chunks. Whatever keeps it from its end takes the connection away.
pub(super) struct Exported {
    chunks: BoxStream<'static, Result<Vec<u8>, ServiceError>>,
    is_over: bool,
    in_flight: InFlight,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
    admission: Option<Admission>,
    downstream: Option<Downstream>,
    /// Told of every chunk that is taken.
    taken: Arc<Notify>,
    _watch: AbortOnDropHandle<()>,
    _place: Place,
}

/// Why an export was not finished.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    #[error("the right to read was taken away")]
    Revoked,
    #[error("reading failed")]
    Failed(#[source] ServiceError),
}

// === impl Exported ===

impl Exported {
    pub(super) fn new(
        chunks: BoxStream<'static, Result<Vec<u8>, ServiceError>>,
        admission: Admission,
        downstream: Option<Downstream>,
        place: Place,
        tasks: &TaskTracker,
    ) -> Self {
        let in_flight = admission.in_flight();
        if let Some(downstream) = &downstream {
            in_flight.attach(Side::Downstream, downstream.severable());
        }
        let taken = Arc::new(Notify::new());
        let watch = tasks.spawn(watch(in_flight.clone(), Arc::clone(&taken)));
        Self {
            chunks,
            is_over: false,
            cut: Box::pin(in_flight.cut_token().clone().cancelled_owned()),
            in_flight,
            admission: Some(admission),
            downstream,
            taken,
            _watch: AbortOnDropHandle::new(watch),
            _place: place,
        }
    }

    /// Also where the end of the connection is the end of the answer, as in HTTP/1.0, this is not to look like one.
    fn break_off(&mut self, broken: Broken) -> Broken {
        self.is_over = true;
        self.in_flight.sever();
        broken
    }
}

impl Stream for Exported {
    type Item = Result<Vec<u8>, Broken>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if this.is_over {
            return Poll::Ready(None);
        }
        if this.in_flight.is_cut() || this.cut.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Some(Err(this.break_off(Broken::Revoked))));
        }
        let chunk = ready!(this.chunks.as_mut().poll_next(cx));
        // Reading took its time.
        if this.in_flight.is_cut() {
            return Poll::Ready(Some(Err(this.break_off(Broken::Revoked))));
        }
        this.taken.notify_one();
        Poll::Ready(match chunk {
            Some(Ok(bytes)) => Some(Ok(bytes)),
            Some(Err(error)) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "an export was broken off"
                );
                Some(Err(this.break_off(Broken::Failed(error))))
            }
            None => {
                this.is_over = true;
                None
            }
        })
    }
}

impl Drop for Exported {
    fn drop(&mut self) {
        // The last bytes may still stand in a buffer of this process. Until the connection has handed them to the
        // kernel, or thrown them away, a revocation must find the request.
        if let (Some(admission), Some(downstream)) = (self.admission.take(), &self.downstream) {
            downstream.linger(Box::new(admission));
        }
    }
}

/// Ends an export whose client takes nothing: it would hold its place for ever.
async fn watch(in_flight: InFlight, taken: Arc<Notify>) {
    while tokio::time::timeout(PATIENCE, taken.notified()).await.is_ok() {}
    tracing::debug!("an export is ended since its client takes nothing");
    in_flight.sever();
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use futures_util::future::BoxFuture;
    use futures_util::{FutureExt as _, StreamExt as _, stream};
    use gateway_core::{
        ApiToken, Lifetime, Roles, Scopes, SystemClock, Timestamp, TokenId, TokenKind, TokenRecord, User,
        UserId, UserStatus,
    };
    use gateway_relay::access::registry::Sever;
    use gateway_relay::access::{Access, AccessOptions, SourceError, StoredToken, TokenSource};

    use super::*;
    use crate::api::export::EXPORTS;
    use crate::service::places::Places;

    struct OneToken(StoredToken);

    impl TokenSource for OneToken {
        fn find(&self, _: TokenId) -> BoxFuture<'_, Result<Option<StoredToken>, SourceError>> {
            std::future::ready(Ok(Some(self.0.clone()))).boxed()
        }
    }

    #[derive(Default)]
    struct Connection(AtomicBool);

    impl Sever for Connection {
        fn sever(&self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }

    impl Connection {
        fn is_gone(&self) -> bool {
            self.0.load(Ordering::SeqCst)
        }
    }

    fn stored(token: &ApiToken) -> StoredToken {
        let (user_id, now) = (UserId::generate(), Timestamp::from_micros(0));
        let record = TokenRecord {
            id: token.id(),
            user_id,
            secret_hash: token.secret_hash(),
            kind: TokenKind::Api,
            name: "test".into(),
            scopes: Scopes::all(),
            lifetime: Lifetime::from_days(30).unwrap(),
            created_at: now,
            updated_at: now,
            expires_at: Timestamp::MAX,
            last_used_at: None,
        };
        let user = User {
            id: user_id,
            username: "alice".into(),
            email: None,
            name: String::new(),
            roles: Roles::default(),
            status: UserStatus::Active,
            is_service_account: false,
            created_at: now,
            updated_at: now,
            last_seen_at: None,
        };
        StoredToken { record, user }
    }

    async fn exported(
        chunks: BoxStream<'static, Result<Vec<u8>, ServiceError>>,
    ) -> (Exported, Arc<Connection>, Arc<Access>, TokenId) {
        let token = ApiToken::generate(&mut rand::rng());
        let source = Arc::new(OneToken(stored(&token)));
        let access = Access::new(source, Arc::new(SystemClock), AccessOptions::default());
        let admission = access.admit(&token, None).await.unwrap();
        let connection = Arc::<Connection>::default();
        let in_flight = admission.in_flight();
        in_flight.attach(Side::Downstream, Arc::clone(&connection) as Arc<dyn Sever>);
        let place = Places::new(EXPORTS).enter(UserId::generate()).unwrap();
        let exported = Exported::new(chunks, admission, None, place, &TaskTracker::new());
        (exported, connection, access, token.id())
    }

    #[tokio::test]
    async fn what_fails_takes_the_connection_away() {
        let chunks = stream::iter([Ok(b"one".to_vec()), Err(ServiceError::Busy)]);
        let (mut exported, connection, _, _) = exported(chunks.boxed()).await;
        assert_eq!(exported.next().await.unwrap().unwrap(), b"one");
        assert!(!connection.is_gone());
        assert!(matches!(exported.next().await, Some(Err(Broken::Failed(_)))));
        assert!(connection.is_gone());
        assert!(exported.next().await.is_none());
    }

    #[tokio::test]
    async fn a_revocation_ends_an_export_that_waits_for_its_next_chunk() {
        let (mut exported, connection, access, token) = exported(stream::pending().boxed()).await;
        let tokens = [token];
        let (ended, ()) = tokio::join!(exported.next(), access.revoke_tokens(&tokens));
        assert!(matches!(ended, Some(Err(Broken::Revoked))));
        assert!(connection.is_gone());
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_is_not_waited_for() {
        let chunks = stream::repeat_with(|| Ok(Vec::new()));
        let (mut exported, connection, _, _) = exported(chunks.boxed()).await;
        for _ in 0..3 {
            tokio::time::sleep(PATIENCE * 2 / 3).await;
            assert!(exported.next().await.is_some());
        }
        assert!(!connection.is_gone());
        tokio::time::sleep(PATIENCE + Duration::from_millis(1)).await;
        assert!(connection.is_gone());
    }
}
