//! Signing in through a browser: whoever is signed in there confirms, and the session comes here.
//!
//! The browser brings a code to a port of this machine that only this process listens on. The code is of use only
//! together with a secret that never leaves this process but for the exchange. Where the browser is on another machine,
//! a session token is copied from its page and pasted.

use std::fmt::Write as _;
use std::io::BufRead as _;
use std::net::Ipv4Addr;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};
use gateway_api_types::{CodeLoginRequest, LoginReply};
use gateway_core::{ApiToken, Secret};
use rand::distr::{Alphanumeric, SampleString as _};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use url::Url;

use crate::client::Client;
use crate::commands::Context;
use crate::{environment, prompt};

/// How long somebody may take to sign in and confirm.
const PATIENCE: Duration = Duration::from_mins(10);

/// What a browser sends to the port is one small request, at once.
const HEAD_LIMIT: usize = 16 * 1024;
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);

/// Browsers open a few connections beforehand; whoever opens more waits.
const CONNECTIONS: usize = 16;

/// 190 and 256 bits.
const STATE_LENGTH: usize = 32;
const VERIFIER_LENGTH: usize = 43;

/// How a wait ended.
enum Answer {
    Code(String),
    /// Enter was pressed.
    Paste,
}

/// `opens` says whether the browser is to be opened here.
pub(super) async fn sign_in(context: &Context, client: &Client, opens: bool) -> anyhow::Result<Secret> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .context("cannot listen on this machine for the browser's answer")?;
    let random = |length| Alphanumeric.sample_string(&mut rand::rng(), length);
    let (state, verifier) = (random(STATE_LENGTH), random(VERIFIER_LENGTH));
    let mut page = page(client.base());
    page.query_pairs_mut()
        .append_pair("port", &listener.local_addr()?.port().to_string())
        .append_pair("state", &state)
        .append_pair("challenge", &challenge(&verifier));
    let is_opened = opens && open(page.as_str());
    let question = if is_opened {
        "Confirm in the browser that has opened; if none has, open this address:"
    } else {
        "Open this address in a browser and confirm there:"
    };
    context.output.note(&format!("{question}\n\n    {page}\n"));
    let answer = if prompt::is_interactive() {
        context
            .output
            .note("Is the browser on another machine? Press Enter to paste a token from it.");
        tokio::select! {
            code = wait(&listener, client.base(), &state) => Answer::Code(code),
            () = enter() => Answer::Paste,
            () = tokio::time::sleep(PATIENCE) => bail!("nobody has confirmed"),
        }
    } else {
        let code = wait(&listener, client.base(), &state);
        Answer::Code(
            tokio::time::timeout(PATIENCE, code)
                .await
                .context("nobody has confirmed")?,
        )
    };
    match answer {
        Answer::Code(code) => {
            let request = CodeLoginRequest {
                code: Secret::from(code).into(),
                verifier: Secret::from(verifier).into(),
            };
            let reply: LoginReply = client.post(&["users", "login", "code"], Some(&request)).await?;
            Ok(reply.session_token.into_secret())
        }
        Answer::Paste => paste(context, client),
    }
}

/// Where the dashboard asks for confirmation.
fn page(base: &Url) -> Url {
    let mut page = base.clone();
    let path = format!("{}/cli-auth", base.path().trim_end_matches('/'));
    page.set_path(&path);
    page
}

fn challenge(verifier: &str) -> String {
    let digest = Sha256::digest(verifier.as_bytes());
    digest.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes everything");
        text
    })
}

/// Starts a browser and does not wait for it. False if there is none that could be started.
fn open(address: &str) -> bool {
    let program = environment::read(environment::BROWSER).unwrap_or_else(|| {
        let program = if cfg!(target_os = "macos") {
            "open"
        } else {
            "xdg-open"
        };
        program.to_owned()
    });
    Command::new(program)
        .arg(address)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .is_ok()
}

/// The token from the page, typed unseen.
fn paste(context: &Context, client: &Client) -> anyhow::Result<Secret> {
    context
        .output
        .note(&format!("Copy the token from {}", page(client.base())));
    loop {
        let token = prompt::hidden(&context.output, "Token")?;
        let token = Secret::new(token.expose().trim());
        match ApiToken::parse(token.expose()) {
            Ok(_) => return Ok(token),
            Err(error) => context.output.note(&format!("This is {error}.")),
        }
    }
}

/// Ends when a line was entered. The thread that reads ends with the process; it must not turn off the echo, since
/// nobody would turn it on again.
async fn enter() {
    let (pressed, wait) = oneshot::channel();
    std::thread::spawn(move || {
        let mut line = String::new();
        if matches!(std::io::stdin().lock().read_line(&mut line), Ok(read) if read > 0) {
            let _ = pressed.send(());
        }
    });
    if wait.await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// The code that the browser brings. What is not the answer to our own question is turned away.
async fn wait(listener: &TcpListener, base: &Url, state: &str) -> String {
    let mut answering = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if answering.len() < CONNECTIONS => {
                if let Ok((stream, _)) = accepted {
                    answering.spawn(answer(stream, page(base), state.to_owned()));
                }
            }
            Some(answered) = answering.join_next() => {
                if let Ok(Some(code)) = answered {
                    return code;
                }
            }
        }
    }
}

/// Answers one request. If it has the code, the browser is sent to a page that says so.
async fn answer(mut stream: TcpStream, page: Url, state: String) -> Option<String> {
    let target = tokio::time::timeout(HEAD_TIMEOUT, target(&mut stream))
        .await
        .ok()??;
    let code = code(&target, &state);
    let head = if code.is_some() {
        format!("HTTP/1.1 303 See Other\r\nLocation: {page}/done\r\n")
    } else {
        "HTTP/1.1 404 Not Found\r\n".to_owned()
    };
    let reply = format!("{head}Cache-Control: no-store\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    // The code is here, whether the browser hears of it or not.
    let _ = tokio::time::timeout(HEAD_TIMEOUT, async {
        stream.write_all(reply.as_bytes()).await?;
        stream.shutdown().await
    })
    .await;
    code
}

/// The target of the request, once its head is there.
async fn target(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    let mut chunk = [0; 1024];
    while !head.ends_with(b"\r\n\r\n") {
        let read = stream.read(&mut chunk).await.ok().filter(|read| *read > 0)?;
        head.extend_from_slice(&chunk[..read]);
        if head.len() > HEAD_LIMIT {
            return None;
        }
    }
    let line = head.split(|byte| *byte == b'\r').next()?;
    let mut words = std::str::from_utf8(line).ok()?.split(' ');
    (words.next() == Some("GET")).then_some(())?;
    words.next().map(str::to_owned)
}

fn code(target: &str, state: &str) -> Option<String> {
    let url = Url::parse("http://127.0.0.1/").ok()?.join(target).ok()?;
    let find = |wanted| {
        url.query_pairs()
            .find(|(name, _)| name == wanted)
            .map(|(_, value)| value.into_owned())
    };
    (url.path() == "/callback" && find("state").as_deref() == Some(state)).then(|| find("code"))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_answer_to_our_own_question_counts() {
        assert_eq!(code("/callback?code=a&state=s", "s").as_deref(), Some("a"));
        for bad in [
            "/callback?code=a&state=t",
            "/callback?code=a",
            "/callback?state=s",
            "/favicon.ico",
            "/?code=a&state=s",
            "//",
            "",
        ] {
            assert_eq!(code(bad, "s"), None, "{bad}");
        }
    }

    #[test]
    fn the_page_is_below_the_address_of_the_server() {
        for (base, expected) in [
            ("https://ai.example.com/", "https://ai.example.com/cli-auth"),
            ("https://example.com/ai/", "https://example.com/ai/cli-auth"),
        ] {
            assert_eq!(page(&base.parse().unwrap()).as_str(), expected);
        }
    }

    #[test]
    fn the_challenge_is_a_digest() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(challenge(""), empty);
    }
}
