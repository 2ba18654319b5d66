//! Where links lead, and where there are none.

use super::records::browser;
use crate::scene::Scene;

#[tokio::test]
async fn a_request_leads_to_the_session_of_whoever_asked() {
    let scene = Scene::new().await;
    let mut browser = browser(&scene, "owner").await;
    // Bob's client has given the same name to a session, later.
    for (second, words, others) in [
        (1, "How do I bake bread?", "The secret plan of Bob"),
        (5, "The secret plan of Bob", "How do I bake bread?"),
    ] {
        let path = format!("/ai-gateway/interceptions/{}", scene.id(second).await);
        let page = browser.get(&path).await.text;
        let (_, rest) = page.split_once("<p class=\"crumb\"><a href=\"").unwrap();
        let thread = browser.get(rest.split('"').next().unwrap()).await;
        assert_eq!(thread.status, 200);
        assert!(
            thread.text.contains(words) && !thread.text.contains(others),
            "{thread:?}"
        );
    }
    let path = format!("/ai-gateway/interceptions/{}/all.json", scene.id(1).await);
    let file = browser.get(&path).await;
    let disposition = file.headers["content-disposition"].to_str().unwrap();
    assert_eq!(
        disposition,
        format!("attachment; filename=\"{}.json\"", scene.id(1).await)
    );
}

#[tokio::test]
async fn usage_ends_where_days_do_and_where_there_are_too_many_to_tell() {
    let scene = Scene::new().await;
    let mut owner = browser(&scene, "owner").await;
    let page = owner.get("/ai-gateway/usage?until=1970-01-20").await;
    assert!(page.text.contains(">Earlier<"), "{page:?}");
    let page = owner.get("/ai-gateway/usage?until=1970-01-05").await;
    assert!(page.status == 200 && !page.text.contains(">Earlier<"), "{page:?}");
    let [alice, _] = &scene.askers;
    let many = (100..5101).map(|second| {
        alice
            .asks(second, "")
            .with(|exchange| exchange.start.client = format!("client {second}"))
    });
    scene.recorded.add(many).await;
    let page = owner.get("/ai-gateway/usage?until=2026-01-31").await;
    assert_eq!(
        page.text
            .matches("There are too many different ones to tell.")
            .count(),
        1
    );
    assert!(
        page.text.contains("Top people") && page.text.contains("<caption"),
        "{page:?}"
    );
}
