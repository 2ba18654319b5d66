//! What every page has around its content: head, navigation and notices.

use askama::Template;
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse as _, Response};
use gateway_core::{Permission, Role, Roles};

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
    AiSessions,
    Usage,
    Providers,
    Proxy,
    Audit,
    Tokens,
    Sessions,
    Password,
    People,
}

/// What has just been done, told on the page that follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Notice {
    TokenDeleted,
    SessionEnded,
    PasswordChanged,
    PasswordAndTokensChanged,
    PersonCreated,
    PersonSuspended,
    PersonActivated,
    PersonDeleted,
    RolesChanged,
    PasswordReset,
    PasswordAndTokensReset,
    TokenGone,
    SessionGone,
    PersonGone,
    SignInWithNewPassword,
    SignInAsOwner,
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
        let person = Person {
            username: principal.username.clone(),
            roles: roles_in_words(&principal.roles),
            navigation: navigation(session, here),
            csrf: session.form_key().token(),
        };
        Self {
            person: Some(person),
            notice: session.take_notice(),
            ..Self::plain(title)
        }
    }

    /// The token for the page's forms; empty if nobody is signed in.
    pub(super) fn csrf(&self) -> &str {
        self.person.as_ref().map_or("", |person| &person.csrf)
    }
}

/// Where this person can go. What one may not see is not in it.
fn navigation(session: &Session, here: Place) -> Vec<Group> {
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
    let roles = &session.requester().roles;
    let mut groups = Vec::new();
    let gateway: &[Place] = if roles.allow(Permission::ReadRecords) {
        &[
            Place::AiSessions,
            Place::Usage,
            Place::Providers,
            Place::Proxy,
            Place::Audit,
        ]
    } else {
        &[Place::AiSessions, Place::Usage, Place::Proxy]
    };
    groups.push(group("AI gateway", gateway));
    if roles.allow(Permission::ReadUsers) {
        groups.push(group("Administration", &[Place::People]));
    }
    groups.push(group(
        "Account",
        &[Place::Tokens, Place::Sessions, Place::Password],
    ));
    groups
}

// === impl Place ===

impl Place {
    pub(super) const fn address(self) -> &'static str {
        match self {
            Self::AiSessions => "/ai-gateway/sessions",
            Self::Usage => "/ai-gateway/usage",
            Self::Providers => "/ai-gateway/providers",
            Self::Proxy => "/ai-gateway/proxy",
            Self::Audit => "/audit",
            Self::Tokens => "/settings/tokens",
            Self::Sessions => "/settings/sessions",
            Self::Password => "/settings/password",
            Self::People => "/users",
        }
    }

    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::AiSessions => "AI sessions",
            Self::Usage => "Usage",
            Self::Providers => "Providers",
            Self::Proxy => "Proxy",
            Self::Audit => "Audit log",
            Self::Tokens => "Tokens",
            Self::Sessions => "Sessions",
            Self::Password => "Password",
            Self::People => "People",
        }
    }
}

// === impl Notice ===

impl Notice {
    const ALL: [Self; 16] = [
        Self::TokenDeleted,
        Self::SessionEnded,
        Self::PasswordChanged,
        Self::PasswordAndTokensChanged,
        Self::PersonCreated,
        Self::PersonSuspended,
        Self::PersonActivated,
        Self::PersonDeleted,
        Self::RolesChanged,
        Self::PasswordReset,
        Self::PasswordAndTokensReset,
        Self::TokenGone,
        Self::SessionGone,
        Self::PersonGone,
        Self::SignInWithNewPassword,
        Self::SignInAsOwner,
    ];

    /// How its cookie names it.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::TokenDeleted => "token-deleted",
            Self::SessionEnded => "session-ended",
            Self::PasswordChanged => "password-changed",
            Self::PasswordAndTokensChanged => "password-and-tokens-changed",
            Self::PersonCreated => "person-created",
            Self::PersonSuspended => "person-suspended",
            Self::PersonActivated => "person-activated",
            Self::PersonDeleted => "person-deleted",
            Self::RolesChanged => "roles-changed",
            Self::PasswordReset => "password-reset",
            Self::PasswordAndTokensReset => "password-and-tokens-reset",
            Self::TokenGone => "token-gone",
            Self::SessionGone => "session-gone",
            Self::PersonGone => "person-gone",
            Self::SignInWithNewPassword => "sign-in-with-new-password",
            Self::SignInAsOwner => "sign-in-as-owner",
        }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
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
            Self::PersonCreated => "The account is made.",
            Self::PersonSuspended => {
                "The account is suspended. None of its tokens is accepted any more, and what was running with them is cut."
            }
            Self::PersonActivated => "The account is active again, and its tokens with it.",
            Self::PersonDeleted => "The account is deleted, with all of its tokens and sessions.",
            Self::RolesChanged => "The roles are changed.",
            Self::PasswordReset => "The password is set, and all sessions of this account have ended.",
            Self::PasswordAndTokensReset => {
                "The password is set, and all sessions and tokens of this account are gone."
            }
            Self::TokenGone => "There is no such token, or no longer.",
            Self::SessionGone => "There is no such session, or no longer.",
            Self::PersonGone => "There is no such account, or no longer.",
            Self::SignInWithNewPassword => {
                "The password is changed, and all sessions have ended. Sign in with the new one."
            }
            Self::SignInAsOwner => "The owner's account is made. Sign in to it.",
        }
    }
}

/// Whoever holds none is a member.
pub(super) fn roles_in_words(roles: &Roles) -> String {
    if roles.is_empty() {
        return Role::Member.display_name().to_owned();
    }
    let names: Vec<&str> = roles.iter().map(Role::display_name).collect();
    names.join(", ")
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
