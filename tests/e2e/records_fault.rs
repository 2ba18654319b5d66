//! Audit before release while the database is away: stopped, paused, started anew, or full.
//!
//! Nobody receives an answer whole that is not recorded; new requests are refused before the provider hears of them;
//! what was in flight is held back for its time and then ends uncleanly; and when the database is back, so is the
//! gateway, by itself.

use std::time::{Duration, Instant};

use crate::client::{Answer, End};
use crate::cluster::Cluster;
use crate::link::Link;
use crate::load::{Api, Kind, Load, Seen};
use crate::records::Records;
use crate::support::{Gateway, Site, Token, patiently, report};

/// After so long nothing reaches the provider any more: a second of patience, and what was under way.
const LAST_ADMISSION: Duration = Duration::from_secs(3);

/// How long an answer is held back, and what a slow machine may add.
const HOLD_BACK: Duration = Duration::from_secs(10);
const SLACK: Duration = Duration::from_secs(4);

/// How soon the gateway serves again after the database does.
const RECOVERY: Duration = Duration::from_secs(8);

/// How long ending may take while all is well, whatever was not well before.
const QUICK_END: Duration = Duration::from_secs(6);

/// How long ending may take while the database is away, after the requests have had their time.
const ENDING: Duration = Duration::from_secs(25);

/// What is done to the database.
enum Fault {
    Stopped(Cluster),
    Paused(Cluster),
    Unreachable(Cluster, Link),
    Full,
}

/// The people of a test, beside the load.
struct People {
    owner: Token,
    /// Never used before the fault.
    fresh: Token,
    /// To be removed during the fault.
    doomed: Token,
}

// === impl Fault ===

impl Fault {
    async fn unreachable() -> Self {
        let cluster = Cluster::start().await;
        let link = Link::to(cluster.address()).await;
        Self::Unreachable(cluster, link)
    }

    async fn site(&self) -> Site {
        match self {
            Self::Stopped(cluster) | Self::Paused(cluster) => Site::on_postgres(&cluster.url()).await,
            Self::Unreachable(cluster, link) => Site::on_postgres(&cluster.url_by(link.address())).await,
            Self::Full => Site::on_disk().await,
        }
    }

    async fn begin(&mut self, gateway: &Gateway) {
        match self {
            Self::Stopped(cluster) => cluster.stop("immediate").await,
            Self::Paused(cluster) => cluster.pause(),
            Self::Unreachable(_, link) => link.cut(),
            Self::Full => gateway.site.disk.as_ref().unwrap().fill(gateway.process_id()),
        }
    }

    async fn end(&mut self, gateway: Option<&Gateway>) {
        match (self, gateway) {
            (Self::Stopped(cluster), _) => cluster.launch().await,
            (Self::Paused(cluster), _) => cluster.resume(),
            (Self::Unreachable(_, link), _) => link.mend(),
            (Self::Full, Some(gateway)) => {
                gateway
                    .site
                    .disk
                    .as_ref()
                    .unwrap()
                    .give_room(gateway.process_id());
            }
            (Self::Full, None) => {}
        }
    }
}

async fn gateway_with_people(site: Site, settings: &[(&str, &str)]) -> (Gateway, People, Load) {
    let (gateway, owner) = Gateway::set_up(site.start(settings).await).await;
    gateway.create_user(&owner, "alice").await;
    let used = gateway.create_token(&owner, "alice", "used").await;
    let fresh = gateway.create_token(&owner, "alice", "fresh").await;
    let doomed = gateway.create_token(&owner, "me", "doomed").await;
    assert_eq!(gateway.status_of(&doomed).await, 200);
    let load = Load::new(gateway.address(), vec![used, owner.clone()]);
    let people = People { owner, fresh, doomed };
    (gateway, people, load)
}

/// The whole of an outage under load, and what follows.
async fn an_outage(mut fault: Fault) {
    let (gateway, people, load) = gateway_with_people(fault.site().await, &[]).await;
    let held_ended = tokio::sync::Notify::new();
    let held = async {
        let streams = [Api::Messages, Api::Chat, Api::Responses].map(Kind::held);
        let streams = futures_util::future::join_all(streams.map(|kind| load.ask_once(kind)));
        let whole = load.ask_once(Kind::held_whole(Api::Messages));
        let (streams, whole) = tokio::join!(streams, whole);
        let ended = Instant::now();
        held_ended.notify_one();
        (streams, whole, ended)
    };
    let late = load.ask_once(Kind::late(Api::Responses));
    let story = async {
        let sim = &gateway.site.sim;
        sim.wait_at_gate("held", 4).await;
        sim.wait_at_gate("late", 1).await;
        load.until_whole(30).await;
        fault.begin(&gateway).await;
        let began = Instant::now();
        until_ready(&gateway, 503, LAST_ADMISSION).await;
        tokio::time::sleep_until((began + LAST_ADMISSION).into()).await;
        let reached = sim.requests().len();
        let opened = Instant::now();
        sim.open_gate("held");
        during_the_outage(&gateway, &people).await;
        patiently("the end of what was held back", held_ended.notified()).await;
        assert_eq!(
            sim.requests().len(),
            reached,
            "the provider was asked while nothing could be recorded"
        );
        assert_eq!(gateway.call("GET", "/healthz", None, None).await.0, 200);
        assert_refused(&load.seen(), began + LAST_ADMISSION);

        fault.end(Some(&gateway)).await;
        let back = Instant::now();
        until_ready(&gateway, 200, RECOVERY).await;
        load.until_whole(1).await;
        assert!(
            back.elapsed() < RECOVERY,
            "served again after {:?}",
            back.elapsed()
        );
        report(&format!(
            "ready and serving {:?} after the database's return",
            back.elapsed()
        ));
        sim.open_gate("late");
        load.until_whole(30).await;
        load.stop();
        opened
    };
    let (opened, (streams, whole, held_until), late, ()) = tokio::join!(story, held, late, load.run());
    for stream in &streams {
        assert_torn(stream);
    }
    assert_eq!(whole.status, 503, "{}", whole.text());
    let held_for = held_until - opened;
    assert!(held_for < HOLD_BACK + SLACK, "held back for {held_for:?}");
    assert_eq!(late.end, End::Complete, "what needed no record meanwhile goes on");
    after_the_outage(&gateway, &people).await;
    settle_accounts(gateway, &load).await;
}

/// Waits until `/readyz` answers so, which must not take longer than the limit.
async fn until_ready(gateway: &Gateway, status: u16, limit: Duration) {
    let answers = async {
        while gateway.call("GET", "/readyz", None, None).await.0 != status {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let in_time = tokio::time::timeout(limit, answers).await;
    assert!(
        in_time.is_ok(),
        "/readyz is not {status} after {limit:?}: {}",
        gateway.log()
    );
}

/// What can be asked of the gateway beside the load: each gets a clear answer within its limit.
async fn during_the_outage(gateway: &Gateway, people: &People) {
    let asked = Instant::now();
    assert_eq!(
        gateway.status_of(&people.fresh).await,
        503,
        "nothing is known about the token"
    );
    // Whether it was removed is not known, so it is not said to be.
    assert_eq!(gateway.remove_token(&people.owner, &people.doomed).await, 503);
    let took = asked.elapsed();
    assert!(
        took < 2 * gateway_store::OPERATION_TIMEOUT + SLACK,
        "answered after {took:?}"
    );
}

async fn after_the_outage(gateway: &Gateway, people: &People) {
    assert_eq!(gateway.status_of(&people.fresh).await, 200);
    let removed = gateway.remove_token(&people.owner, &people.doomed).await;
    assert!(matches!(removed, 204 | 404), "{removed}");
    assert_eq!(gateway.status_of(&people.doomed).await, 401);
}

/// All that was asked from that moment on, and has ended, was refused in the provider's form.
fn assert_refused(seen: &[Seen], from: Instant) {
    let asked: Vec<&Seen> = seen.iter().filter(|seen| seen.began > from).collect();
    assert!(asked.len() > 50, "hardly anything was asked: {}", asked.len());
    for seen in asked {
        let refusal = seen.refusal.as_ref();
        let refusal = refusal.unwrap_or_else(|| panic!("not refused: {seen:?}"));
        assert_eq!(refusal.status, 503, "{seen:?}");
        assert!(refusal.header("retry-after").is_some(), "{seen:?}");
        let body: serde_json::Value = serde_json::from_slice(&refusal.body).unwrap();
        assert!(
            body["error"]["message"].is_string() && body["error"]["type"].is_string(),
            "{body}"
        );
        assert_eq!(body["type"] == "error", seen.kind.api == Api::Messages, "{body}");
    }
}

/// A stream that was held back for too long: it says so, has no terminal event, and ends uncleanly.
fn assert_torn(stream: &Answer) {
    let text = stream.text();
    assert_eq!((stream.status, stream.end), (200, End::Cut), "{text}");
    assert!(text.contains("could not be recorded"), "{text}");
    for api in [Api::Messages, Api::Chat, Api::Responses] {
        assert!(!Kind::held(api).is_terminated(&text), "{text}");
    }
}

/// Stops the server and holds its records against what clients and the provider know.
async fn settle_accounts(gateway: Gateway, load: &Load) {
    load.collect(&gateway.site.sim);
    gateway.signal("TERM");
    let told = Instant::now();
    let (site, ended_well) = gateway.ended().await;
    assert!(ended_well);
    assert!(told.elapsed() < QUICK_END, "ended after {:?}", told.elapsed());
    let store = site.store().await;
    let records = Records::read(&store).await;
    store.close().await;
    assert_eq!(records.open(), 0, "interceptions were left open");
    let figures = records.check(load);
    records.check_provider(load);
    report(&format!("{figures:?}"));
}

#[tokio::test]
async fn a_stopped_postgres_releases_nothing_and_is_got_over() {
    an_outage(Fault::Stopped(Cluster::start().await)).await;
}

#[tokio::test]
async fn a_paused_postgres_releases_nothing_and_is_got_over() {
    an_outage(Fault::Paused(Cluster::start().await)).await;
}

#[tokio::test]
async fn an_unreachable_postgres_releases_nothing_and_is_got_over() {
    an_outage(Fault::unreachable().await).await;
}

#[tokio::test]
async fn a_full_disk_releases_nothing_and_is_got_over() {
    an_outage(Fault::Full).await;
}

/// A restart of the database is over before anything has been held back for too long, so nothing breaks: what comes
/// meanwhile is refused at worst.
#[tokio::test]
async fn a_restarted_postgres_tears_nothing() {
    let cluster = Cluster::start().await;
    let (gateway, _people, load) = gateway_with_people(Site::on_postgres(&cluster.url()).await, &[]).await;
    let story = async {
        for mode in ["fast", "immediate"] {
            load.until_whole(30).await;
            cluster.stop(mode).await;
            cluster.launch().await;
            let back = Instant::now();
            load.until_whole(20).await;
            assert!(
                back.elapsed() < RECOVERY,
                "served again after {:?}",
                back.elapsed()
            );
        }
        load.stop();
    };
    tokio::join!(story, load.run());
    for seen in load.seen().iter() {
        assert!(seen.is_whole || seen.refusal.is_some(), "torn: {seen:?}");
    }
    settle_accounts(gateway, &load).await;
}

/// Connections that have died without a word are given up before anything has been held back for too long.
#[tokio::test]
async fn dead_connections_tear_nothing() {
    let cluster = Cluster::start().await;
    let link = Link::to(cluster.address()).await;
    let site = Site::on_postgres(&cluster.url_by(link.address())).await;
    let (gateway, _people, load) = gateway_with_people(site, &[]).await;
    let story = async {
        load.until_whole(30).await;
        link.cut();
        tokio::time::sleep(Duration::from_millis(200)).await;
        link.mend();
        let back = Instant::now();
        load.until_whole(20).await;
        report(&format!("serving again {:?} after their death", back.elapsed()));
        assert!(
            back.elapsed() < RECOVERY,
            "served again after {:?}",
            back.elapsed()
        );
        load.stop();
    };
    tokio::join!(story, load.run());
    for seen in load.seen().iter() {
        assert!(seen.is_whole || seen.refusal.is_some(), "torn: {seen:?}");
    }
    settle_accounts(gateway, &load).await;
}

/// Stops the server while its database is away: it ends within its limits, and what was received is recorded.
async fn an_end_in_an_outage(mut fault: Fault) {
    let settings = &[("CODER_SHUTDOWN_TIMEOUT", "1s")];
    let (gateway, _people, load) = gateway_with_people(fault.site().await, settings).await;
    let held = load.ask_once(Kind::held(Api::Messages));
    let shutdown = async {
        gateway.site.sim.wait_at_gate("held", 1).await;
        load.until_whole(30).await;
        fault.begin(&gateway).await;
        until_ready(&gateway, 503, LAST_ADMISSION).await;
        gateway.site.sim.open_gate("held");
        load.stop();
        gateway.signal("TERM");
        let told = Instant::now();
        let (site, ended_well) = patiently("the end of the server", gateway.ended()).await;
        report(&format!("ended after {:?}", told.elapsed()));
        assert!(told.elapsed() < ENDING, "ended after {:?}", told.elapsed());
        assert!(!ended_well, "records were left behind, which must be seen");
        fault.end(None).await;
        site
    };
    let (site, held, ()) = tokio::join!(shutdown, held, load.run());
    assert_eq!(held.end, End::Cut, "{}", held.text());
    let gateway = site.start(&[]).await;
    until_ready(&gateway, 200, RECOVERY).await;
    // The lease of the one before has run out by then, and what it left open is closed.
    let store = gateway.site.store().await;
    patiently("the end of all that was left open", async {
        while Records::read(&store).await.open() > 0 {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    })
    .await;
    store.close().await;
    load.collect(&gateway.site.sim);
    gateway.signal("TERM");
    let (site, _) = gateway.ended().await;
    let store = site.store().await;
    let figures = Records::read(&store).await.check(&load);
    store.close().await;
    report(&format!("{figures:?}"));
}

#[tokio::test]
async fn a_server_ends_while_postgres_is_stopped() {
    an_end_in_an_outage(Fault::Stopped(Cluster::start().await)).await;
}

#[tokio::test]
async fn a_server_ends_while_postgres_is_paused() {
    an_end_in_an_outage(Fault::Paused(Cluster::start().await)).await;
}
