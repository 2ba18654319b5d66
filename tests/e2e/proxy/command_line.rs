//! The AI Gateway Proxy of a real server, set up as the command line sets a shell up.

use serde_json::{Value, json};

use crate::support::{ANTHROPIC_KEY, Engine, Gateway, Token, coder, message, stdout_of};

const SETTINGS: [(&str, &str); 2] = [
    ("CODER_AIBRIDGE_PROXY_ENABLED", "true"),
    ("CODER_AIBRIDGE_PROXY_LISTEN_ADDR", "127.0.0.1:0"),
];

/// What `coder aibridge proxy env` says about a variable.
fn exported(lines: &str, name: &str) -> String {
    let prefix = format!("export {name}='");
    let line = lines.lines().find_map(|line| line.strip_prefix(&prefix)).unwrap();
    line.strip_suffix('\'').unwrap().to_owned()
}

async fn environment(gateway: &Gateway, token: &Token) -> String {
    let home = gateway.site.path("home");
    let command = |words: &[&str]| {
        let mut command = coder(&home);
        command.args(["aibridge", "proxy"]).args(words);
        command
            .env("CODER_URL", gateway.url())
            .env("CODER_SESSION_TOKEN", &token.text);
        command
    };
    // The roots of this machine are nobody's business here.
    std::fs::create_dir_all(&home).unwrap();
    let roots = home.join("roots.pem");
    stdout_of(command(&["ca", "--output-file"]).arg(&roots)).await;
    stdout_of(command(&["env", "--shell", "bash", "--roots"]).arg(&roots)).await
}

/// A program that has the environment and knows the provider's own address alone.
fn client(proxy: &str, bundle: &str) -> reqwest::Client {
    let roots = reqwest::Certificate::from_pem_bundle(&std::fs::read(bundle).unwrap()).unwrap();
    reqwest::Client::builder()
        .proxy(reqwest::Proxy::all(proxy).unwrap())
        .tls_certs_only(roots)
        .build()
        .unwrap()
}

#[tokio::test]
async fn a_program_that_knows_only_its_provider_goes_through_the_proxy() {
    let (gateway, owner) = Gateway::with_owner(Engine::Sqlite, &SETTINGS).await;
    let token = gateway.create_token(&owner, "me", "machine").await;
    let lines = environment(&gateway, &token).await;
    let proxy = exported(&lines, "HTTPS_PROXY");
    assert!(
        proxy.starts_with(&format!("http://coder:{}@127.0.0.1:", token.text)),
        "{proxy}"
    );
    assert!(exported(&lines, "NO_PROXY").contains("127.0.0.1"));
    let program = client(&proxy, &exported(&lines, "SSL_CERT_FILE"));
    let url = format!("https://{}/v1/messages", gateway.site.sim.address());
    let answer = program
        .post(&url)
        .header("x-api-key", "coder-aibridge")
        .header("anthropic-version", "2023-06-01")
        .header("content-type", "application/json")
        .body(message("chunks=5"))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
    assert!(answer.text().await.unwrap().contains("event: message_stop"));

    let requests = gateway.site.sim.requests();
    let [request] = &requests[..] else {
        panic!("{requests:?}")
    };
    assert_eq!(request.header("x-api-key"), [ANTHROPIC_KEY.as_bytes()]);
    assert!(request.header("proxy-authorization").is_empty());
    assert!(!format!("{request:?}").contains(&token.text));

    let (_, records) = gateway
        .call("GET", "/api/v2/aibridge/interceptions", Some(&owner), None)
        .await;
    assert_eq!(records["count"], 1, "{records}");
    assert_eq!(records["results"][0]["provider_name"], "anthropic", "{records}");

    // Removing the token takes the connection away that is kept for the next request, and no new one is let in.
    assert_eq!(gateway.remove_token(&owner, &token).await, 204);
    let refused = program.post(&url).body(message("")).send().await.unwrap_err();
    assert!(refused.is_connect(), "{refused:?}");
    assert_eq!(gateway.site.sim.requests().len(), 1);
}

#[tokio::test]
async fn what_is_intercepted_is_told_and_a_stop_does_not_wait_for_idle_clients() {
    let (gateway, owner) = Gateway::with_owner(Engine::Sqlite, &SETTINGS).await;
    let (status, told) = gateway
        .call("GET", "/api/v2/ai-gateway/proxy", Some(&owner), None)
        .await;
    assert_eq!(status, 200);
    // Both built-in providers are on the simulated one.
    let sim = gateway.site.sim.address();
    assert_eq!(
        told["hosts"],
        json!([{"host": "127.0.0.1", "port": sim.port(), "provider": "anthropic", "shadowed": ["openai"]}])
    );
    assert!(
        gateway.log().contains("openai cannot be reached"),
        "{}",
        gateway.log()
    );

    let lines = environment(&gateway, &owner).await;
    let program = client(
        &exported(&lines, "HTTPS_PROXY"),
        &exported(&lines, "SSL_CERT_FILE"),
    );
    let answer = program
        .get(format!("https://{sim}/no/such/route"))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 404);
    let refusal: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    assert_eq!(refusal["type"], "error", "{refusal}");
    gateway.signal("TERM");
    let (site, ended_well) = gateway.ended().await;
    assert!(ended_well, "{}", site.log());
    // The same authority is there at the next start.
    let fingerprint = told["ca"]["sha256_fingerprint"].clone();
    let gateway = site.start(&SETTINGS).await;
    let (_, told) = gateway
        .call("GET", "/api/v2/aibridge/proxy", Some(&owner), None)
        .await;
    assert_eq!(told["ca"]["sha256_fingerprint"], fingerprint);
}
