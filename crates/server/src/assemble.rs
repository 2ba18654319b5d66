//! Putting the parts together, and taking them apart again in order.
//!
//! [`serve`] takes typed values and listeners that are bound already, so that tests can listen where they like. It
//! returns when everything that was in flight has ended or was cut, and what the jobs held is written down.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use gateway_core::provider::is_reserved;
use gateway_core::{Clock, Lifetime, Secret, SystemClock};
use gateway_relay::access::{Access, AccessOptions};
use gateway_relay::listen::{self, Endpoint};
use gateway_relay::target::Target;
use gateway_relay::{Relay, RelayOptions, RequestBody, ResponseBody};
use gateway_store::{Purpose, Store, StoreOptions};
use http::{Request, Response};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use crate::adapter::{Leaks, StoreTokens};
use crate::api::{self, ApiState};
use crate::config::TrustedProxies;
use crate::jobs;
use crate::lifecycle::{Background, Shutdown};
use crate::service::attempts::Attempts;
use crate::service::failures::Failures;
use crate::service::hasher::Hasher;
use crate::service::removals::Removals;
use crate::service::setup::Setup;
use crate::service::{Lifetimes, Services};

/// How long the end of a shutdown may take once everything has been cut.
const LAST_STEPS: Duration = Duration::from_secs(10);

/// What a server is made of.
pub struct Parts {
    pub store: StoreOptions,
    pub lifetimes: Lifetimes,
    /// Sessions live on while they are used.
    pub sessions_slide: bool,
    /// How long expired tokens are kept; none is for ever.
    pub retention: Option<Lifetime>,
    /// How long entries of the audit log are kept; none is for ever.
    pub audit_retention: Option<Lifetime>,
    /// The options in effect without their secrets, whose changes stand in the audit log.
    pub options: BTreeMap<String, String>,
    pub first_user_code: Option<Secret>,
    pub access_url: String,
    pub trusted_proxies: TrustedProxies,
    pub relay: RelayOptions,
    /// How long requests in flight may go on after the first signal.
    pub shutdown_timeout: Duration,
}

/// Runs until the shutdown begins to drain and what is in flight has ended, or until it aborts.
pub async fn serve(parts: Parts, endpoints: Vec<Endpoint>, shutdown: Shutdown) -> anyhow::Result<()> {
    let store = Store::open(parts.store, Purpose::Server)
        .await
        .context("the database could not be opened")?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let access = Access::new(
        Arc::new(StoreTokens(store.clone())),
        Arc::clone(&clock),
        AccessOptions::default(),
    );
    let (requests, background) = (TaskTracker::new(), Background::new(shutdown.clone()));
    let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    let services = Services {
        store: store.clone(),
        access: Arc::clone(&access),
        clock,
        lifetimes: parts.lifetimes,
        hasher: Hasher::new(cores),
        attempts: Arc::new(Attempts::default()),
        failures: Arc::new(Failures::default()),
        setup: Arc::new(Setup::new(parts.first_user_code)),
        removals: Removals::default(),
        tasks: requests.clone(),
    };
    let now = services.clock.now();
    store.audit().note_configuration(&parts.options, now).await?;
    announce_setup(&services).await?;
    let relay_options = RelayOptions {
        leaked_tokens: Some(Arc::new(Leaks(services.clone()))),
        ..parts.relay
    };
    let relay = Relay::new(relay_options, Arc::clone(&access), requests.clone())?;
    let state = ApiState {
        services: services.clone(),
        access_url: parts.access_url,
        trusted_proxies: Arc::new(parts.trusted_proxies),
    };
    let front = Front {
        relay: Arc::new(relay),
        api: api::router(state),
    };

    // The jobs go on while requests finish, so that their last uses are written down, too.
    let stop_jobs = CancellationToken::new();
    let terms = JobTerms {
        sessions_slide: parts.sessions_slide,
        retention: parts.retention,
        audit_retention: parts.audit_retention,
    };
    start_jobs(&background, &services, &terms, &stop_jobs);
    for endpoint in endpoints {
        let service = tower::service_fn({
            let front = front.clone();
            move |request| front.clone().answer(request)
        });
        requests.spawn(listen::serve(
            endpoint,
            service,
            shutdown.ending(),
            requests.clone(),
        ));
    }
    requests.close();
    finish(&access, &shutdown, &requests, parts.shutdown_timeout).await;
    stop_jobs.cancel();
    let outcome = background.finish(LAST_STEPS).await;
    store.close().await;
    Ok(outcome?)
}

/// What the jobs are told.
struct JobTerms {
    sessions_slide: bool,
    retention: Option<Lifetime>,
    audit_retention: Option<Lifetime>,
}

fn start_jobs(background: &Background, services: &Services, terms: &JobTerms, stop: &CancellationToken) {
    background.spawn(
        "uses of tokens",
        jobs::note_uses(services.clone(), terms.sessions_slide, stop.clone()),
    );
    background.spawn(
        "failed logins",
        jobs::note_failures(services.clone(), stop.clone()),
    );
    if let Some(retention) = terms.retention {
        background.spawn(
            "expired tokens",
            jobs::remove_expired(services.clone(), retention, stop.clone()),
        );
    }
    if let Some(retention) = terms.audit_retention {
        background.spawn(
            "old entries of the audit log",
            jobs::remove_old_audit(services.clone(), retention, stop.clone()),
        );
    }
}

/// Waits for the end of everything: by itself after the drain has begun, or cut at the deadline.
async fn finish(access: &Access, shutdown: &Shutdown, requests: &TaskTracker, shutdown_timeout: Duration) {
    tokio::select! {
        () = shutdown.drain.cancelled() => {}
        () = shutdown.abort.cancelled() => {}
    }
    tokio::select! {
        () = requests.wait() => return,
        () = tokio::time::sleep(shutdown_timeout) => {}
        () = shutdown.abort.cancelled() => {}
    }
    let left = access.in_flight();
    if left > 0 {
        tracing::warn!(left, "requests in flight are cut");
    }
    access.cut_all().await;
    shutdown.abort.cancel();
    let _ = tokio::time::timeout(LAST_STEPS, requests.wait()).await;
}

/// While there is no user, says how the first one can be made. The code goes to the terminal and not to the log, which
/// others may read.
async fn announce_setup(services: &Services) -> anyhow::Result<()> {
    if services.is_set_up().await? {
        return Ok(());
    }
    tracing::info!("there is no user yet; make the owner with `coder login URL`");
    if let Some(code) = services.setup.made_code() {
        let _ = writeln!(
            std::io::stderr(),
            "Making the first user from another machine takes this code: --first-user-code {}",
            code.expose()
        );
    }
    Ok(())
}

/// Sends each request to the data plane or to the REST API, by its path alone.
#[derive(Clone)]
struct Front {
    relay: Arc<Relay>,
    api: axum::Router,
}

// === impl Front ===

impl Front {
    async fn answer(self, request: Request<RequestBody>) -> Result<Response<ResponseBody>, Infallible> {
        let target = Target::parse(request.uri().path());
        if target.is_some_and(|target| !is_reserved(target.provider)) {
            return Ok(self.relay.handle(request).await);
        }
        let request = request.map(axum::body::Body::new);
        let response = self.api.oneshot(request).await?;
        Ok(response.map(ResponseBody::new))
    }
}
