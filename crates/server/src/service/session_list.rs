//! Where somebody is signed in, and ending all of it.

use std::sync::Arc;
use std::time::Duration;

use gateway_core::audit::Source;
use gateway_core::{TokenKind, TokenRecord};
use gateway_store::{AuditFilter, TokenFilter};

use super::error::ServiceError;
use super::{Requester, Revoked, Services, author};

/// The entry of the audit log that tells of a session is written at the moment at which the session is made.
const AROUND: Duration = Duration::from_millis(1);

// === impl Services ===

impl Services {
    /// The caller's own sessions that have not expired, the newest first.
    pub async fn list_sessions(&self, caller: &Requester) -> Result<Vec<TokenRecord>, ServiceError> {
        let filter = TokenFilter {
            user: Some(caller.user_id),
            kind: Some(TokenKind::Session),
            include_expired: false,
            now: self.clock.now(),
            after: None,
            limit: 0,
            newest_first: false,
        };
        let listed = self.store.tokens().list(filter).await?;
        let mut sessions: Vec<TokenRecord> = listed.into_iter().map(|token| token.record).collect();
        sessions.sort_by_key(|record| std::cmp::Reverse(record.created_at));
        Ok(sessions)
    }

    /// Who made one of the caller's own sessions, and from where. None if the audit log does not tell, or no longer,
    /// or if it is not the caller's.
    pub async fn session_source(
        &self,
        caller: &Requester,
        session: &TokenRecord,
    ) -> Result<Option<Source>, ServiceError> {
        if session.user_id != caller.user_id {
            return Ok(None);
        }
        let filter = AuditFilter {
            target: Some(session.id.to_string()),
            from: Some(session.created_at.minus(AROUND)),
            until: Some(session.created_at.plus(AROUND)),
            limit: 1,
            ..AuditFilter::default()
        };
        let entry = self.store.audit().list(filter).await?.into_iter().next();
        Ok(entry.map(|entry| entry.source))
    }

    /// Ends all sessions of the caller, that of the call too. API tokens stay.
    pub async fn end_sessions(&self, caller: &Requester) -> Result<(), ServiceError> {
        let (store, author, now) = (self.store.clone(), author(caller, None), self.clock.now());
        let user_id = caller.user_id;
        let removal = self.removals.begin(user_id, &caller.username);
        let access = Arc::clone(&self.access);
        // If it is not known whether the write has happened, everything of the user is cut; what lives is let in again.
        self.commit(Revoked::User(user_id), async move {
            let removed = store.tokens().remove_sessions(&author, user_id, now).await?;
            super::revoke(&access, &Revoked::Tokens(removed)).await;
            // What an earlier call has removed is not in this one's list; it may still be cutting.
            removal.wait_for_earlier().await;
            Ok(((), Revoked::Nothing))
        })
        .await
    }
}
