//! Every envelope, and the event of every API, word for word.

use gateway_llm::error::{ErrorKind, error_body, error_event, should_not_retry};
use gateway_llm::route::{Api, Family};

/// Kind, status, Anthropic's type, OpenAI's type and OpenAI's code as JSON.
const ENVELOPES: [(ErrorKind, u16, &str, &str, &str); 13] = {
    use ErrorKind as K;
    const INVALID: &str = "invalid_request_error";
    [
        (K::InvalidRequest, 400, INVALID, INVALID, "null"),
        (
            K::Authentication,
            401,
            "authentication_error",
            INVALID,
            "\"invalid_api_key\"",
        ),
        (
            K::Permission,
            403,
            "permission_error",
            INVALID,
            "\"permission_denied\"",
        ),
        (K::NotFound, 404, "not_found_error", INVALID, "\"not_found\""),
        (K::Timeout, 408, "timeout_error", INVALID, "\"timeout\""),
        (
            K::TooLarge,
            413,
            "request_too_large",
            INVALID,
            "\"request_too_large\"",
        ),
        (K::UpgradeRequired, 426, INVALID, INVALID, "null"),
        (
            K::RateLimited,
            429,
            "rate_limit_error",
            "rate_limit_error",
            "\"rate_limit_exceeded\"",
        ),
        (K::Internal, 500, "api_error", "server_error", "\"server_error\""),
        (K::NotImplemented, 501, INVALID, INVALID, "null"),
        (K::BadGateway, 502, "api_error", "server_error", "\"bad_gateway\""),
        (
            K::Unavailable,
            503,
            "overloaded_error",
            "server_error",
            "\"service_unavailable\"",
        ),
        (
            K::GatewayTimeout,
            504,
            "timeout_error",
            "server_error",
            "\"timeout\"",
        ),
    ]
};

#[test]
fn every_envelope() {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    for (kind, status, anthropic, openai, code) in ENVELOPES {
        assert_eq!(kind.status(), status);
        assert_eq!(
            should_not_retry(kind),
            [401, 403, 404, 413].contains(&status),
            "{kind:?}"
        );
        let as_anthropic =
            format!(r#"{{"type":"error","error":{{"type":"{anthropic}","message":"a \"b\"\n"}}}}"#);
        let as_openai =
            format!(r#"{{"error":{{"message":"a \"b\"\n","type":"{openai}","param":null,"code":{code}}}}}"#);
        let as_responses = format!(
            r#"{{"type":"error","code":{code},"message":"a \"b\"\n","param":null,"sequence_number":0}}"#
        );
        let message = "a \"b\"\n";
        assert_eq!(text(error_body(Family::Anthropic, kind, message)), as_anthropic);
        assert_eq!(text(error_body(Family::OpenAi, kind, message)), as_openai);
        for (api, event) in [
            (Api::Messages, format!("event: error\ndata: {as_anthropic}\n\n")),
            (Api::ChatCompletions, format!("data: {as_openai}\n\n")),
            (Api::Responses, format!("event: error\ndata: {as_responses}\n\n")),
        ] {
            assert_eq!(text(error_event(api, kind, message)), event);
        }
    }
}
