//! What every page has around its content: head, navigation and notices.

use askama::Template;
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse as _, Response};

use super::assets::Assets;
use super::session::Session;

/// The frame of one page.
pub(super) struct Page {
    pub(super) title: &'static str,
    pub(super) assets: &'static Assets,
    /// None on the pages of those who are not signed in.
    pub(super) person: Option<Person>,
    pub(super) notice: Option<Notice>,
}

/// Who looks at it.
pub(super) struct Person {
    pub(super) username: String,
    /// In words, for under the name.
    pub(super) roles: String,
    pub(super) navigation: Vec<Group>,
    /// For the form that signs out, and any other on the page.
    pub(super) csrf: String,
}

/// A part of the navigation.
pub(super) struct Group {
    pub(super) label: &'static str,
    pub(super) entries: Vec<Entry>,
}

/// One place to go.
pub(super) struct Entry {
    pub(super) place: Place,
    pub(super) is_here: bool,
}

/// The pages that the navigation leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Tokens,
    Sessions,
    Password,
}

/// What has just been done, told on the page that follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Notice {
    TokenDeleted,
    SessionEnded,
    PasswordChanged,
    PasswordAndTokensChanged,
}

// === impl Page ===

impl Page {
    pub(super) fn plain(title: &'static str) -> Self {
        Self {
            title,
            assets: Assets::get(),
            person: None,
            notice: None,
        }
    }

    pub(super) fn signed_in(session: &Session, title: &'static str, here: Place) -> Self {
        let principal = &session.requester().principal;
        let roles: Vec<&str> = principal
            .roles
            .iter()
            .map(gateway_core::Role::display_name)
            .collect();
        let person = Person {
            username: principal.username.clone(),
            roles: if roles.is_empty() {
                gateway_core::Role::Member.display_name().to_owned()
            } else {
                roles.join(", ")
            },
            navigation: navigation(here),
            csrf: session.form_key().token(),
        };
        Self {
            person: Some(person),
            ..Self::plain(title)
        }
    }

    /// With what the page before has done, as its redirect says.
    pub(super) fn with_notice(mut self, done: Option<&str>) -> Self {
        self.notice = done.and_then(Notice::parse);
        self
    }

    /// The token for the page's forms; empty if nobody is signed in.
    pub(super) fn csrf(&self) -> &str {
        self.person.as_ref().map_or("", |person| &person.csrf)
    }
}

/// Where this person can go. What one may not see is not in it.
fn navigation(here: Place) -> Vec<Group> {
    let group = |label, places: &[Place]| Group {
        label,
        entries: places
            .iter()
            .map(|place| Entry {
                place: *place,
                is_here: *place == here,
            })
            .collect(),
    };
    vec![group(
        "Account",
        &[Place::Tokens, Place::Sessions, Place::Password],
    )]
}

// === impl Place ===

impl Place {
    pub(super) const fn address(self) -> &'static str {
        match self {
            Self::Tokens => "/settings/tokens",
            Self::Sessions => "/settings/sessions",
            Self::Password => "/settings/password",
        }
    }

    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Tokens => "Tokens",
            Self::Sessions => "Sessions",
            Self::Password => "Password",
        }
    }
}

// === impl Notice ===

impl Notice {
    const ALL: [Self; 4] = [
        Self::TokenDeleted,
        Self::SessionEnded,
        Self::PasswordChanged,
        Self::PasswordAndTokensChanged,
    ];

    /// How an address names it.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::TokenDeleted => "token-deleted",
            Self::SessionEnded => "session-ended",
            Self::PasswordChanged => "password-changed",
            Self::PasswordAndTokensChanged => "password-and-tokens-changed",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|notice| notice.as_str() == text)
    }

    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::TokenDeleted => {
                "The token is deleted. Nobody accepts it any more, and what was running with it is cut."
            }
            Self::SessionEnded => "The session has ended.",
            Self::PasswordChanged => "The password is changed, and all other sessions have ended.",
            Self::PasswordAndTokensChanged => {
                "The password is changed, all other sessions have ended, and all tokens are deleted."
            }
        }
    }

    /// The address of a page that is to tell it.
    pub(super) fn told_at(self, place: Place) -> String {
        format!("{}?done={}", place.address(), self.as_str())
    }
}

/// An answer with a page in it.
pub(super) fn render(status: StatusCode, page: &impl Template) -> Response {
    match page.render() {
        Ok(html) => (status, Html(html)).into_response(),
        Err(error) => {
            tracing::error!(%error, "a template failed");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
