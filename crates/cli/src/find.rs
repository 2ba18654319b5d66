//! Finding the token that somebody means by its name, its id or its whole text; and what can name a user.

use anyhow::bail;
use gateway_api_types::ApiKey;
use gateway_core::token::find_shape;
use gateway_core::user::{InvalidName, check_token_name, check_username};
use gateway_core::{ApiToken, TokenId};

use crate::client::{Client, ClientError};

/// What was given on the command line.
#[derive(Debug)]
pub(crate) enum Wanted<'a> {
    /// The id out of a whole token, whose secret part goes no further.
    Id(TokenId),
    /// A name, or an id.
    Text(&'a str),
}

// === impl Wanted ===

impl<'a> Wanted<'a> {
    /// A text that has the form of a token but is none is refused here: it may hold most of a secret.
    pub(crate) fn parse(text: &'a str) -> anyhow::Result<Self> {
        match ApiToken::parse(text.trim()) {
            Ok(token) => Ok(Self::Id(token.id())),
            Err(error) if find_shape(text.as_bytes()).is_some() => bail!("{error}"),
            Err(_) => Ok(Self::Text(text)),
        }
    }
}

/// The token of this name, else of this id. Names are those of `user`.
pub(crate) async fn token(client: &Client, user: &str, wanted: &Wanted<'_>) -> anyhow::Result<ApiKey> {
    let found = match wanted {
        Wanted::Id(id) => client.find(&["users", user, "keys", id.as_str()]).await?,
        Wanted::Text(text) => {
            // What can be no name may be the path of something else.
            let named = match check_token_name(text) {
                Ok(()) => client.find(&["users", user, "keys", "tokens", text]).await?,
                Err(_) => None,
            };
            match text.parse::<TokenId>() {
                Ok(id) if named.is_none() => client.find(&["users", user, "keys", id.as_str()]).await?,
                _ => named,
            }
        }
    };
    match (found, wanted) {
        (Some(key), _) => Ok(key),
        (None, Wanted::Id(id)) => bail!("there is no token with the id {id}; see `coder tokens list`"),
        (None, Wanted::Text(text)) => {
            bail!("there is no token with the name or id {text:?}; see `coder tokens list`")
        }
    }
}

/// The text as part of a path, unless it would be the path of something that is no user.
pub(crate) fn user(text: &str) -> Result<&str, ClientError> {
    match check_username(text) {
        Err(InvalidName::ReservedUsername) if text != "me" => Err(ClientError::NoSuchName(text.to_owned())),
        _ => Ok(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_token_is_reduced_to_its_id() {
        let token = "cdr_0123456789_0123456789ABCDEFGHIJKL0IkVvR";
        assert!(matches!(Wanted::parse(token).unwrap(), Wanted::Id(id) if id.as_str() == "0123456789"));
        assert!(matches!(
            Wanted::parse("my-token").unwrap(),
            Wanted::Text("my-token")
        ));
    }

    #[test]
    fn most_of_a_token_is_neither_sent_nor_shown() {
        let broken = "cdr_0123456789_0123456789ABCDEFGHIJKL0IkVvX";
        for text in [broken.to_owned(), format!("x{broken}"), format!("{broken}x")] {
            let error = Wanted::parse(&text).unwrap_err().to_string();
            assert!(!error.contains("ABCDEF"), "{error}");
        }
    }

    #[test]
    fn words_of_paths_are_no_users() {
        for good in ["alice", "me", "01890a5d-ac96-774b-bcce-b302099a8057"] {
            assert_eq!(user(good).unwrap(), good);
        }
        for bad in ["first", "Roles", "login"] {
            assert!(user(bad).is_err(), "{bad}");
        }
    }
}
