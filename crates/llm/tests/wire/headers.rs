//! The header rules as a whole: what of a request and of an answer stays, in any mixture.

use gateway_llm::headers::{connection_names, drop_from_request, drop_from_response};
use proptest::prelude::*;

/// Never passed on with a request.
const REQUEST_DROPS: [&str; 29] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
    "authorization",
    "x-api-key",
    "api-key",
    "x-goog-api-key",
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-forwarded-port",
    "cookie",
    "cookie2",
    "set-cookie",
    "set-cookie2",
    "host",
    "content-length",
    "expect",
    "coder-session-token",
    "x-coder-ai-governance-token",
    "x-coder-agent-firewall-session-id",
];

/// Never passed on with an answer.
const RESPONSE_DROPS: [&str; 14] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
    "cookie",
    "cookie2",
    "set-cookie",
    "set-cookie2",
];

proptest! {
    /// What resembles a rule is not it: one letter more or less, and the header travels.
    #[test]
    fn rules_hold_for_whole_names_only(which in 0..REQUEST_DROPS.len(), letter in "[a-z0-9]", intercepted: bool) {
        let name = REQUEST_DROPS[which];
        prop_assert!(drop_from_request(name, intercepted), "{}", name);
        let is_by_prefix = ["coder-", "x-coder-", "x-forwarded-"].iter().any(|prefix| name.starts_with(prefix));
        prop_assert_eq!(drop_from_request(&format!("{name}{letter}"), intercepted), is_by_prefix || REQUEST_DROPS.contains(&&*format!("{name}{letter}")));
        let prefixed = format!("{letter}{name}");
        prop_assert!(!drop_from_request(&prefixed, intercepted), "{}", prefixed);
    }

    #[test]
    fn anything_else_travels(name in "[a-z][a-z0-9-]{0,24}", intercepted: bool) {
        let is_by_prefix = ["coder-", "x-coder-", "x-forwarded-"].iter().any(|prefix| name.starts_with(prefix));
        let is_narrowed = intercepted && name == "accept-encoding";
        let is_listed = REQUEST_DROPS.contains(&&*name);
        prop_assert_eq!(drop_from_request(&name, intercepted), is_by_prefix || is_narrowed || is_listed);
        prop_assert_eq!(drop_from_response(&name), RESPONSE_DROPS.contains(&&*name));
    }

    /// Whatever stands in `Connection`, names come out in the form in which they are compared, and none is lost.
    #[test]
    fn connection_names_can_be_compared(value in "[ -~\t]{0,60}") {
        let names: Vec<String> = connection_names(&value).collect();
        for name in &names {
            prop_assert!(!name.is_empty() && name.trim() == name && !name.contains(','));
            prop_assert_eq!(&name.to_ascii_lowercase(), name);
        }
        let squeeze = |text: &str| text.to_ascii_lowercase().replace([',', ' ', '\t'], "");
        prop_assert_eq!(squeeze(&names.concat()), squeeze(&value));
    }
}

#[test]
fn the_lists() {
    for name in REQUEST_DROPS {
        assert!(
            drop_from_request(name, true) && drop_from_request(name, false),
            "{name}"
        );
    }
    for name in RESPONSE_DROPS {
        assert!(drop_from_response(name), "{name}");
    }
    // Edits of other gateways that this one does not make.
    for name in [
        "content-length",
        "date",
        "server",
        "alt-svc",
        "x-request-id",
        "retry-after",
        "request-id",
    ] {
        assert!(!drop_from_response(name), "{name}");
    }
}
