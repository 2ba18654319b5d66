//! Whose tokens a page is about: one's own, or those of somebody else, on pages that are otherwise the same.

use gateway_core::{TokenKind, TokenRecord, UserId};

use super::people;
use crate::api::ApiState;
use crate::dashboard::error::PageError;
use crate::dashboard::layout::{Page, Place};
use crate::dashboard::session::Session;

/// The owner of the tokens.
pub(super) struct Whose {
    pub(super) user_id: UserId,
    /// As the services take it.
    pub(super) target: String,
    /// None for one's own.
    pub(super) username: Option<String>,
    /// Where the tokens are listed.
    pub(super) list: String,
    /// The address of the token with this id, without the id.
    pub(super) base: String,
    place: Place,
}

// === impl Whose ===

impl Whose {
    pub(super) fn own(session: &Session) -> Self {
        Self {
            user_id: session.requester().user_id,
            target: "me".to_owned(),
            username: None,
            list: Place::Tokens.address().to_owned(),
            base: Place::Tokens.address().to_owned(),
            place: Place::Tokens,
        }
    }

    /// Somebody's, for those who may make and remove them.
    pub(super) async fn of(state: &ApiState, session: &Session, id: &str) -> Result<Self, PageError> {
        let (user, rights) = people::find(state, session, id).await?;
        if !rights.can_manage_tokens {
            return Err(PageError::not_found());
        }
        let list = format!("{}/{}", Place::People.address(), user.id);
        Ok(Self {
            user_id: user.id,
            target: user.id.to_string(),
            username: Some(user.username),
            base: format!("{list}/tokens"),
            list,
            place: Place::People,
        })
    }

    pub(super) fn page(&self, session: &Session, title: &'static str) -> Page {
        Page::signed_in(session, title, self.place)
    }

    /// Sessions have pages of their own.
    pub(super) fn has(&self, record: &TokenRecord) -> bool {
        record.kind == TokenKind::Api && record.user_id == self.user_id
    }
}
