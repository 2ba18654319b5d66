//! A server on which people have asked.

use gateway_core::interception::{Mark, Outcome};
use serde_json::{Value, json};

use crate::recorded::{Asker, Recorded};
use crate::support::Server;

pub(crate) struct Scene {
    pub(crate) server: Server,
    pub(crate) recorded: Recorded,
    pub(crate) owner: String,
    pub(crate) auditor: String,
    pub(crate) alice: String,
    pub(crate) bob: String,
    /// Alice and Bob.
    pub(crate) askers: [Asker; 2],
}

impl Scene {
    pub(crate) async fn new() -> Self {
        let (server, owner) = Server::with_owner().await;
        let auditor = server.user(&owner, "auditor", &["auditor"]).await;
        let alice = server.user(&owner, "alice", &[]).await;
        let bob = server.user(&owner, "bob", &[]).await;
        let recorded = Recorded::beside(&server).await;
        let askers = [Asker::of(&server, &alice).await, Asker::of(&server, &bob).await];
        let [of_alice, of_bob] = &askers;
        recorded
            .add([
                of_alice.asks(1, "How do I bake bread?").in_session("kitchen"),
                of_alice.asks(2, "And a cake?").in_session("kitchen"),
                of_alice.asks(3, "Paint it 100% blue").with(|exchange| {
                    exchange.start.provider = gateway_core::ProviderKind::OpenAi;
                    exchange.start.provider_name = "openai".parse().unwrap();
                    exchange.start.model = "gpt-5".into();
                    exchange.start.client = "Codex".into();
                    exchange.start.marks.insert(Mark::PromptCut);
                    exchange.end.as_mut().unwrap().outcome = Outcome::ProviderError;
                }),
                of_alice
                    .asks(4, "Are you still there?")
                    .with(|exchange| exchange.end = None),
                of_bob.asks(5, "The secret plan of Bob").in_session("kitchen"),
                of_bob
                    .asks(6, "Second part")
                    .in_session("bobs-own")
                    .with(|exchange| exchange.start.model = "bobs-model".into()),
            ])
            .await;
        Self {
            server,
            recorded,
            owner,
            auditor,
            alice,
            bob,
            askers,
        }
    }

    pub(crate) async fn get(&self, path: &str, caller: &str) -> Value {
        let reply = self.server.get(&format!("/aibridge{path}"), caller).await;
        assert_eq!(reply.status, 200, "{path}: {reply:?}");
        reply.json()
    }

    /// The prompts of what is listed.
    pub(crate) async fn prompts(&self, query: &str, caller: &str) -> Vec<String> {
        let page = self.get(&format!("/interceptions?{query}"), caller).await;
        let results = page["results"].as_array().unwrap();
        assert_eq!(page["count"], json!(results.len()), "{query}");
        results
            .iter()
            .map(|one| one["user_prompts"][0]["prompt"].as_str().unwrap().to_owned())
            .collect()
    }

    /// The id of the interception of so many seconds after noon.
    pub(crate) async fn id(&self, second: usize) -> String {
        let all = self.get("/interceptions", &self.owner).await;
        all["results"][6 - second]["id"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn export(&self, path: &str, accept: &str, caller: &str) -> String {
        let reply = self
            .server
            .send(|http, base| {
                http.get(format!("{base}/api/v2/aibridge{path}"))
                    .header("accept", accept)
                    .header("coder-session-token", caller)
            })
            .await;
        assert_eq!(reply.status, 200, "{path}: {reply:?}");
        reply.text
    }

    /// How many come after this one for Alice.
    pub(crate) async fn prompts_after(&self, id: &str) -> usize {
        let page = self
            .get(&format!("/interceptions?after_id={id}"), &self.alice)
            .await;
        page["results"].as_array().unwrap().len()
    }
}
