//! What the data plane needs, on top of the store.

pub(crate) mod record_log;
pub(crate) mod records;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use gateway_core::TokenId;
use gateway_relay::LeakedTokens;
use gateway_relay::access::{SourceError, StoredToken, TokenSource};
use gateway_store::{Author, Store};

use crate::service::{Revoked, Services};

/// The store as the place where tokens are looked up.
pub(crate) struct StoreTokens(pub(crate) Store);

impl TokenSource for StoreTokens {
    fn find(&self, id: TokenId) -> BoxFuture<'_, Result<Option<StoredToken>, SourceError>> {
        async move {
            let found = self.0.tokens().find_with_user(id).await;
            let found = found.map_err(|error| SourceError(Box::new(error)))?;
            Ok(found.map(|(record, user)| StoredToken { record, user }))
        }
        .boxed()
    }
}

/// The author of their removal.
const LEAKED: Author = Author::SystemFor("its text stood in the body of a request");

/// Removes tokens that were found where they do not belong.
pub(crate) struct Leaks(pub(crate) Services);

impl LeakedTokens for Leaks {
    fn remove(&self, token: TokenId) -> BoxFuture<'static, ()> {
        let services = self.0.clone();
        async move {
            let (store, now) = (services.store.clone(), services.clock.now());
            let removal = services.commit(Revoked::Tokens(vec![token]), async move {
                store.tokens().remove(&LEAKED, token, now).await?;
                Ok(((), Revoked::Tokens(vec![token])))
            });
            match removal.await {
                Ok(()) => tracing::warn!(%token, "a token that stood in the body of a request was removed"),
                Err(error) => tracing::error!(%token, %error, "a token that stood in the body of a request could not be removed"),
            }
        }
        .boxed()
    }
}
