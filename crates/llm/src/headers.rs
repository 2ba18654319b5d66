//! Which headers travel, by name.
//!
//! Names are taken in lower case, as HTTP/2 and every Rust HTTP library have them. The hop-by-hop list is that of
//! RFC 9110, section 7.6.1, with `Proxy-Connection` and `Keep-Alive` that older peers send; what `Connection` names
//! comes on top and is found with [`connection_names`].

/// Belongs to one connection and never travels.
pub fn is_hop_by_hop(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "keep-alive"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "proxy-connection"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
            | "http2-settings"
    )
}

/// Can carry a credential towards a provider or a proxy.
pub fn is_credential(name: &str) -> bool {
    matches!(
        name,
        "authorization" | "x-api-key" | "api-key" | "x-goog-api-key" | "proxy-authorization"
    )
}

/// Is between clients and this gateway.
pub fn is_internal(name: &str) -> bool {
    name.starts_with("coder-") || name.starts_with("x-coder-")
}

/// Describes the path that a request has taken.
pub fn is_forwarding(name: &str) -> bool {
    name == "forwarded" || name.starts_with("x-forwarded-")
}

/// Belongs to another site.
pub fn is_cookie(name: &str) -> bool {
    matches!(name, "cookie" | "cookie2" | "set-cookie" | "set-cookie2")
}

/// Set anew for each hop by the HTTP library. On intercepted routes the gateway also says itself which encodings
/// it can read.
pub fn is_transport(name: &str, intercepted: bool) -> bool {
    matches!(name, "host" | "content-length" | "expect") || (intercepted && name == "accept-encoding")
}

/// Whether a header of a client's request stays behind.
pub fn drop_from_request(name: &str, intercepted: bool) -> bool {
    is_hop_by_hop(name)
        || is_credential(name)
        || is_internal(name)
        || is_forwarding(name)
        || is_cookie(name)
        || is_transport(name, intercepted)
}

/// Whether a header of a provider's answer stays behind.
pub fn drop_from_response(name: &str) -> bool {
    is_hop_by_hop(name) || is_cookie(name)
}

/// The names in the value of a `Connection` header, in lower case.
pub fn connection_names(value: &str) -> impl Iterator<Item = String> + '_ {
    value
        .split(',')
        .map(|name| name.trim().to_ascii_lowercase())
        .filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_travels_and_what_does_not() {
        for kept in [
            "user-agent",
            "anthropic-beta",
            "anthropic-version",
            "x-stainless-lang",
            "chatgpt-account-id",
            "originator",
            "session-id",
            "content-type",
            "content-encoding",
            "openai-beta",
            "x-claude-code-session-id",
        ] {
            assert!(!drop_from_request(kept, true), "{kept}");
        }
        for dropped in [
            "authorization",
            "x-api-key",
            "api-key",
            "x-goog-api-key",
            "cookie",
            "x-coder-ai-governance-token",
            "coder-session-token",
            "forwarded",
            "x-forwarded-for",
            "host",
            "te",
            "connection",
            "proxy-authorization",
        ] {
            assert!(drop_from_request(dropped, false), "{dropped}");
        }
        assert!(drop_from_request("accept-encoding", true) && !drop_from_request("accept-encoding", false));
        for kept in [
            "x-request-id",
            "retry-after",
            "anthropic-ratelimit-requests-limit",
            "content-length",
            "content-encoding",
        ] {
            assert!(!drop_from_response(kept), "{kept}");
        }
        assert!(drop_from_response("set-cookie") && drop_from_response("transfer-encoding"));
    }

    proptest! {
        #[test]
        fn everything_of_the_gateways_own_stays_behind(rest in "[a-z0-9-]{0,20}", intercepted: bool) {
            for prefix in ["coder-", "x-coder-", "x-forwarded-"] {
                let name = format!("{prefix}{rest}");
                prop_assert!(drop_from_request(&name, intercepted));
            }
        }

        #[test]
        fn connection_names_are_found_in_any_case_and_spacing(names in prop::collection::vec("[A-Za-z-]{1,10}", 0..5)) {
            let value = names.join(" ,\t");
            let found: Vec<String> = connection_names(&value).collect();
            let expected: Vec<String> = names.iter().map(|name| name.to_ascii_lowercase()).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
