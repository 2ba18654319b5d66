//! The AI Gateway Proxy: what to trust, and how to set a shell up for it.

use askama::Template;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use gateway_api_types::AiProxy;
use gateway_core::Timestamp;

use crate::api::ApiState;
use crate::dashboard::error::PageError;
use crate::dashboard::layout::{Page, Place, render};
use crate::dashboard::parts::{CopyBox, When};
use crate::dashboard::session::Session;

#[derive(Template)]
#[template(path = "proxy.html")]
struct ProxyPage {
    page: Page,
    /// None if it is off.
    running: Option<Running>,
}

/// The proxy as clients see it.
struct Running {
    url: String,
    /// Whether the token goes there in the clear.
    is_plain: bool,
    fingerprint: String,
    expires: When,
    hosts: Vec<(String, String)>,
    by_cli: Vec<(&'static str, CopyBox)>,
    by_hand: Vec<(&'static str, CopyBox)>,
    switch: CopyBox,
}

pub(in crate::dashboard) async fn show(
    State(state): State<ApiState>,
    session: Session,
) -> Result<Response, PageError> {
    let now = state.services.clock.now();
    let page = ProxyPage {
        page: Page::signed_in(&session, "Proxy", Place::Proxy),
        running: state
            .proxy
            .as_ref()
            .map(|facts| Running::new(&facts.description, &state.access_url, now)),
    };
    Ok(render(StatusCode::OK, &page))
}

pub(in crate::dashboard) async fn certificate(
    State(state): State<ApiState>,
    _session: Session,
) -> Result<Response, PageError> {
    let facts = state.proxy.as_ref().ok_or_else(PageError::not_found)?;
    let headers = [
        (header::CONTENT_TYPE, "application/x-pem-file"),
        (
            header::CONTENT_DISPOSITION,
            "attachment; filename=\"ai-gateway-ca.pem\"",
        ),
    ];
    Ok((headers, facts.certificate_pem.clone()).into_response())
}

// === impl Running ===

impl Running {
    fn new(proxy: &AiProxy, access_url: &str, now: Timestamp) -> Self {
        let url = proxy.url.clone().unwrap_or_default();
        let (fingerprint, expires_at) = proxy.ca.as_ref().map_or_else(
            || (String::new(), Timestamp::from_micros(0)),
            |ca| (ca.sha256_fingerprint.clone(), ca.expires_at.into()),
        );
        Self {
            is_plain: !url.starts_with("https://"),
            fingerprint,
            expires: When::new(expires_at, now),
            hosts: proxy
                .hosts
                .iter()
                .map(|host| (format!("{}:{}", host.host, host.port), host.provider.clone()))
                .collect(),
            by_cli: by_cli(access_url),
            by_hand: by_hand(&url, access_url),
            switch: CopyBox {
                id: "switch",
                label: "Trust the certificate together with the system's",
                text: "coder aibridge proxy ca --bundle > bundle.pem".to_owned(),
            },
            url,
        }
    }
}

/// With the command line, which writes the certificates and takes care of the rest.
fn by_cli(access_url: &str) -> Vec<(&'static str, CopyBox)> {
    let lines = |shell, id, text| {
        let text = format!("coder login {access_url}\n{text}");
        let label = shell;
        (shell, CopyBox { id, label, text })
    };
    vec![
        lines("bash, zsh", "cli-posix", "eval \"$(coder aibridge proxy env)\""),
        lines(
            "fish",
            "cli-fish",
            "coder aibridge proxy env --shell fish | source",
        ),
        lines(
            "PowerShell",
            "cli-powershell",
            "coder aibridge proxy env --shell powershell | Out-String | Invoke-Expression",
        ),
    ]
}

/// The same variables, for where there is no command line. The token is for whoever copies them to fill in.
fn by_hand(proxy_url: &str, access_url: &str) -> Vec<(&'static str, CopyBox)> {
    let variables = variables(proxy_url, access_url, "YOUR_TOKEN");
    let lines = |shell, id, line: fn(&str, &str) -> String| {
        let text: Vec<String> = variables.iter().map(|(name, value)| line(name, value)).collect();
        let (label, text) = (shell, text.join("\n"));
        (shell, CopyBox { id, label, text })
    };
    vec![
        lines("bash, zsh", "posix", export),
        lines("fish", "fish", |name, value| format!("set -gx {name} '{value}'")),
        lines("PowerShell", "powershell", |name, value| {
            format!("$env:{name} = '{value}'")
        }),
    ]
}

/// The lines for bash and zsh, with a token.
pub(in crate::dashboard) fn posix(proxy_url: &str, access_url: &str, token: &str) -> String {
    let variables = variables(proxy_url, access_url, token);
    let lines: Vec<String> = variables
        .iter()
        .map(|(name, value)| export(name, value))
        .collect();
    lines.join("\n")
}

fn export(name: &str, value: &str) -> String {
    format!("export {name}='{value}'")
}

fn variables(proxy_url: &str, access_url: &str, token: &str) -> [(&'static str, String); 6] {
    let with_token = match proxy_url.split_once("://") {
        Some((scheme, rest)) => format!("{scheme}://coder:{token}@{rest}"),
        None => String::new(),
    };
    let server = url::Url::parse(access_url)
        .ok()
        .and_then(|url| url.host_str().map(str::to_owned));
    let mut exempt = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    exempt.extend(server.filter(|host| !exempt.contains(host)));
    let bundle = || "/path/to/bundle.pem".to_owned();
    [
        ("HTTPS_PROXY", with_token),
        ("NO_PROXY", exempt.join(",")),
        ("NODE_EXTRA_CA_CERTS", "/path/to/ai-gateway-ca.pem".to_owned()),
        ("SSL_CERT_FILE", bundle()),
        ("REQUESTS_CA_BUNDLE", bundle()),
        ("CURL_CA_BUNDLE", bundle()),
    ]
}
