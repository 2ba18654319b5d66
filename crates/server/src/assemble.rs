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
use gateway_relay::recorder::{Recorder, RecorderTimes};
use gateway_relay::target::Target;
use gateway_relay::{Relay, RelayOptions, RequestBody, ResponseBody};
use gateway_store::{Purpose, Store, StoreOptions};
use http::{Request, Response};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use crate::adapter::record_log::RecordLog;
use crate::adapter::records::StoreRecords;
use crate::adapter::{Leaks, StoreTokens};
use crate::api::{self, ApiState};
use crate::config::TrustedProxies;
use crate::dashboard::{self, OverTls};
use crate::jobs;
use crate::lifecycle::{Background, Shutdown};
use crate::provider_facts::ProviderFacts;
use crate::proxy::ProxyParts;
use crate::readiness::Readiness;
use crate::service::attempts::Attempts;
use crate::service::failures::Failures;
use crate::service::hasher::Hasher;
use crate::service::places::Places;
use crate::service::records;
use crate::service::removals::Removals;
use crate::service::setup::Setup;
use crate::service::{Lifetimes, Services};

/// How long the end of a shutdown may take once everything has been cut.
const LAST_STEPS: Duration = Duration::from_secs(10);

/// What a server is made of.
pub struct Parts {
    pub store: StoreOptions,
    pub accounts: AccountOptions,
    pub jobs: JobOptions,
    /// The options in effect without their secrets, whose changes stand in the audit log.
    pub options: BTreeMap<String, String>,
    pub access_url: String,
    pub trusted_proxies: TrustedProxies,
    pub relay: RelayOptions,
    /// The AI Gateway Proxy, if it is to run.
    pub proxy: Option<ProxyParts>,
    /// Where records are told of beside the database.
    pub record_log: Option<Box<dyn std::io::Write + Send>>,
    /// How long requests in flight may go on after the first signal.
    pub shutdown_timeout: Duration,
}

/// How long sessions and tokens live, and how the first user comes to be.
pub struct AccountOptions {
    pub lifetimes: Lifetimes,
    /// None: one is made up and printed.
    pub first_user_code: Option<Secret>,
}

/// What the jobs are told. Where nothing is said about how long something is kept, it is kept for ever.
#[derive(Clone, Copy, Debug, Default)]
pub struct JobOptions {
    /// Sessions live on while they are used.
    pub sessions_slide: bool,
    /// How long expired tokens are kept.
    pub token_retention: Option<Lifetime>,
    /// How long entries of the audit log are kept.
    pub audit_retention: Option<Lifetime>,
    /// How long the records of requests are kept.
    pub record_retention: Option<Lifetime>,
}

/// Runs until the shutdown begins to drain and what is in flight has ended, or until it aborts.
pub async fn serve(parts: Parts, endpoints: Vec<Endpoint>, shutdown: Shutdown) -> anyhow::Result<()> {
    let store = Store::open(parts.store, Purpose::Server)
        .await
        .context("the database could not be opened")?;
    let requests = TaskTracker::new();
    let services = services(&parts.accounts, &store, &requests, &shutdown);
    let access = Arc::clone(&services.access);
    let background = Background::new(shutdown.clone());
    let proxy = parts
        .proxy
        .map(|proxy| proxy.prepare(&parts.relay.providers, Arc::clone(&services.clock)))
        .transpose()?;
    let now = services.clock.now();
    store.audit().note_configuration(&parts.options, now).await?;
    announce_setup(&services).await?;
    let run = jobs::records::begin_run(&services).await?;
    let sink = StoreRecords {
        store: store.clone(),
        run,
        log: parts.record_log.map(RecordLog::start).transpose()?,
    };
    let (recorder, writer) = Recorder::new(Arc::new(sink), RecorderTimes::default());
    let readiness = Readiness::new(recorder.clone(), shutdown.drain.clone());
    let providers = parts.relay.providers.iter().map(ProviderFacts::of).collect();
    let relay_options = RelayOptions {
        leaked_tokens: Some(Arc::new(Leaks(services.clone()))),
        ..parts.relay
    };
    let relay = Relay::new(
        relay_options,
        Arc::clone(&access),
        recorder.clone(),
        requests.clone(),
    )?;
    let state = ApiState {
        services: services.clone(),
        access_url: parts.access_url,
        trusted_proxies: Arc::new(parts.trusted_proxies),
        readiness: readiness.clone(),
        proxy: proxy.as_ref().map(|proxy| Arc::clone(&proxy.facts)),
        providers,
        exports: api::export::Exports::default(),
    };
    let front = Front {
        relay: Arc::new(relay),
        api: api::router(state.clone()),
        dashboard: dashboard::router(state),
    };

    // The jobs go on while requests finish, so that what those leave behind is written down, too.
    let stop = CancellationToken::new();
    background.spawn("recorder", writer.run(stop.clone()));
    background.spawn("readiness", readiness.watch(store.clone(), stop.clone()));
    background.spawn(
        "run",
        jobs::records::keep_run(services.clone(), run, stop.clone()),
    );
    start_jobs(&background, &services, &parts.jobs, &stop);
    if let Some(proxy) = proxy {
        let (access, relay) = (Arc::clone(&access), Arc::clone(&front.relay));
        requests.spawn(proxy.serve(access, relay, shutdown.ending(), requests.clone()));
    }
    front.listen(endpoints, &shutdown, &requests);
    requests.close();
    finish(&access, &recorder, &shutdown, &requests, parts.shutdown_timeout).await;
    stop.cancel();
    let outcome = background.finish(LAST_STEPS).await;
    if recorder.check().is_err() {
        // What it would take to note the end is missing, too, and the lease ends by itself.
        tracing::error!("the last records could not be committed; no client was given what they are about");
    } else if let Err(error) = store.interceptions().end_run(run).await {
        tracing::warn!(%error, "the end of this process could not be noted");
    }
    store.close().await;
    Ok(outcome?)
}

fn services(
    accounts: &AccountOptions,
    store: &Store,
    requests: &TaskTracker,
    shutdown: &Shutdown,
) -> Services {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    Services {
        store: store.clone(),
        access: Access::new(
            Arc::new(StoreTokens(store.clone())),
            Arc::clone(&clock),
            AccessOptions::default(),
        ),
        clock,
        lifetimes: accounts.lifetimes.clone(),
        hasher: Hasher::new(cores),
        attempts: Arc::new(Attempts::default()),
        failures: Arc::new(Failures::default()),
        setup: Arc::new(Setup::new(accounts.first_user_code.clone())),
        sign_in_codes: Arc::default(),
        removals: Removals::default(),
        searches: Places::new(records::SEARCHES),
        tasks: requests.clone(),
        drain: shutdown.drain.clone(),
    }
}

fn start_jobs(background: &Background, services: &Services, options: &JobOptions, stop: &CancellationToken) {
    background.spawn(
        "uses of tokens",
        jobs::note_uses(services.clone(), options.sessions_slide, stop.clone()),
    );
    background.spawn(
        "failed logins",
        jobs::note_failures(services.clone(), stop.clone()),
    );
    if let Some(retention) = options.token_retention {
        background.spawn(
            "expired tokens",
            jobs::remove_expired(services.clone(), retention, stop.clone()),
        );
    }
    if let Some(retention) = options.record_retention {
        background.spawn(
            "old records of requests",
            jobs::remove_old_records(services.clone(), retention, stop.clone()),
        );
    }
    if let Some(retention) = options.audit_retention {
        background.spawn(
            "old entries of the audit log",
            jobs::remove_old_audit(services.clone(), retention, stop.clone()),
        );
    }
}

/// Waits for the end of everything: by itself after the drain has begun, or cut at the deadline.
async fn finish(
    access: &Access,
    recorder: &Recorder,
    shutdown: &Shutdown,
    requests: &TaskTracker,
    shutdown_timeout: Duration,
) {
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
    recorder.begin_end();
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

/// Sends each request to the data plane, to the REST API or to the dashboard, by its path alone.
#[derive(Clone)]
struct Front {
    relay: Arc<Relay>,
    api: axum::Router,
    dashboard: axum::Router,
}

// === impl Front ===

impl Front {
    fn listen(&self, endpoints: Vec<Endpoint>, shutdown: &Shutdown, requests: &TaskTracker) {
        for endpoint in endpoints {
            let is_tls = endpoint.tls.is_some();
            let service = tower::service_fn({
                let front = self.clone();
                move |mut request| {
                    if is_tls {
                        OverTls::mark(&mut request);
                    }
                    front.clone().answer(request)
                }
            });
            requests.spawn(listen::serve(
                endpoint,
                service,
                shutdown.ending(),
                requests.clone(),
            ));
        }
    }

    async fn answer(self, request: Request<RequestBody>) -> Result<Response<ResponseBody>, Infallible> {
        let target = Target::parse(request.uri().path());
        if target.is_some_and(|target| !is_reserved(target.provider)) {
            return Ok(self.relay.handle(request).await);
        }
        let router = if dashboard::is_api(request.uri().path()) {
            self.api
        } else {
            self.dashboard
        };
        let response = router.oneshot(request.map(axum::body::Body::new)).await?;
        Ok(response.map(ResponseBody::new))
    }
}
