//! A fresh database for each test, and short ways to fill it.

use std::panic::{AssertUnwindSafe, resume_unwind};
use std::str::FromStr as _;
use std::time::Duration;

use futures_util::FutureExt as _;
use gateway_core::{
    ApiToken, Lifetime, Role, Roles, Scopes, Secret, Timestamp, TokenId, TokenKind, TokenRecord, User, UserId,
};
use gateway_store::{Author, Engine, NewToken, NewUser, Purpose, Store, StoreError, StoreOptions, Target};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection, SqliteConnection};
use tempfile::TempDir;
use uuid::Uuid;

/// The time at which everything is made.
pub(crate) const NOW: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);

/// How long a condition may take to come true.
const PATIENCE: Duration = Duration::from_secs(40);

/// Runs each named test of the module on both engines.
macro_rules! on_both_engines {
    ($($test:ident),* $(,)?) => {
        mod sqlite {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() {
                    crate::support::run(gateway_store::Engine::Sqlite, super::$test).await;
                }
            )*
        }
        mod postgres {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() {
                    crate::support::run(gateway_store::Engine::Postgres, super::$test).await;
                }
            )*
        }
    };
}
pub(crate) use on_both_engines;

/// A database that is there for one test, and a store on it.
pub(crate) struct TestDb {
    pub(crate) store: Store,
    pub(crate) place: Place,
}

/// Where a test's database is, whether or not a store is open on it.
pub(crate) struct Place {
    pub(crate) engine: Engine,
    pub(crate) target: Target,
    pub(crate) folder: TempDir,
    /// The name of the database on PostgreSQL.
    name: String,
}

/// A connection beside the store.
pub(crate) enum Raw {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

/// Runs a test on an open, empty store and takes the database away, however the test ends.
pub(crate) async fn run(engine: Engine, test: impl AsyncFnOnce(&TestDb)) {
    run_unopened(engine, async |place: &Place| {
        let store = place.open(Purpose::Server).await.unwrap();
        let db = TestDb {
            store,
            place: place.share(),
        };
        test(&db).await;
        db.store.close().await;
    })
    .await;
}

/// Runs a test that opens the store itself.
pub(crate) async fn run_unopened(engine: Engine, test: impl AsyncFnOnce(&Place)) {
    let place = Place::make(engine).await;
    let outcome = AssertUnwindSafe(test(&place)).catch_unwind().await;
    place.remove().await;
    if let Err(panic) = outcome {
        resume_unwind(panic);
    }
}

#[expect(clippy::disallowed_methods, reason = "the configuration of this suite")]
pub(crate) fn postgres_url() -> String {
    std::env::var("TEST_POSTGRES_URL").expect(
        "TEST_POSTGRES_URL is not set: this suite needs a PostgreSQL server; `cargo xtask test store` starts one",
    )
}

/// Waits until the condition holds.
pub(crate) async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait)
        .await
        .unwrap_or_else(|_| panic!("never came true: {what}"));
}

pub(crate) fn after(seconds: u64) -> Timestamp {
    NOW.plus(Duration::from_secs(seconds))
}

pub(crate) fn new_user(username: &str, roles: impl IntoIterator<Item = Role>) -> NewUser {
    NewUser {
        id: UserId::generate(),
        username: username.to_owned(),
        email: Some(format!("{username}@example.com")),
        name: format!("The {username}"),
        roles: Roles::new(roles),
        is_service_account: false,
        password_hash: Some("old hash".to_owned()),
    }
}

pub(crate) fn token_id(seed: u64) -> TokenId {
    ApiToken::generate(&mut StdRng::seed_from_u64(seed)).id()
}

/// A token that lives for an hour.
pub(crate) fn new_token(user_id: UserId, kind: TokenKind, name: &str) -> NewToken {
    let token = ApiToken::generate(&mut rand::make_rng::<StdRng>());
    NewToken {
        id: token.id(),
        user_id,
        secret_hash: token.secret_hash(),
        kind,
        name: name.to_owned(),
        scopes: Scopes::all(),
        lifetime: Lifetime::from_secs(3600).unwrap(),
        created_at: NOW,
        expires_at: after(3600),
        password_hash: None,
    }
}

// === impl TestDb ===

impl TestDb {
    /// What another replica would hold: a second store on PostgreSQL. SQLite has one server, so one store.
    pub(crate) async fn replica(&self) -> Store {
        match self.place.engine {
            Engine::Sqlite => self.store.clone(),
            Engine::Postgres => self.place.open(Purpose::Server).await.unwrap(),
        }
    }

    pub(crate) async fn user(&self, username: &str, roles: impl IntoIterator<Item = Role>) -> User {
        self.store
            .users()
            .create(&Author::System, new_user(username, roles), NOW)
            .await
            .unwrap()
    }

    pub(crate) async fn service_account(
        &self,
        username: &str,
        roles: impl IntoIterator<Item = Role>,
    ) -> User {
        let mut new = new_user(username, roles);
        (new.email, new.password_hash, new.is_service_account) = (None, None, true);
        self.store
            .users()
            .create(&Author::System, new, NOW)
            .await
            .unwrap()
    }

    pub(crate) async fn session(&self, user: &User) -> TokenRecord {
        self.create_token(new_token(user.id, TokenKind::Session, ""))
            .await
            .unwrap()
    }

    pub(crate) async fn api_token(&self, user: &User, name: &str) -> TokenRecord {
        self.create_token(new_token(user.id, TokenKind::Api, name))
            .await
            .unwrap()
    }

    pub(crate) async fn create_token(&self, new: NewToken) -> Result<TokenRecord, StoreError> {
        self.store
            .tokens()
            .create(&Author::System, new)
            .await
            .map(|created| created.record)
    }

    pub(crate) async fn has_token(&self, id: TokenId) -> bool {
        self.store.tokens().find(id).await.unwrap().is_some()
    }

    pub(crate) async fn raw(&self) -> Raw {
        self.place.raw().await
    }

    pub(crate) async fn execute(&self, sql: &str) {
        self.raw().await.execute(sql).await;
    }

    pub(crate) async fn count(&self, sql: &str) -> i64 {
        self.raw().await.count(sql).await
    }
}

// === impl Place ===

impl Place {
    async fn make(engine: Engine) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let name = format!("gateway_test_{}", Uuid::new_v4().simple());
        let target = match engine {
            Engine::Sqlite => Target::Sqlite {
                path: folder.path().join("coder.db"),
            },
            Engine::Postgres => {
                let mut admin = PgConnection::connect(&postgres_url()).await.unwrap();
                let sql = format!("CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'");
                sqlx::query(AssertSqlSafe(sql)).execute(&mut admin).await.unwrap();
                Target::Postgres {
                    url: Secret::new(url_of(&name)),
                }
            }
        };
        Self {
            engine,
            target,
            folder,
            name,
        }
    }

    /// The same place again; its folder is a new one, unused.
    fn share(&self) -> Self {
        Self {
            engine: self.engine,
            target: self.target.clone(),
            folder: tempfile::tempdir().unwrap(),
            name: self.name.clone(),
        }
    }

    pub(crate) async fn open(&self, purpose: Purpose) -> Result<Store, gateway_store::OpenError> {
        Store::open(StoreOptions::new(self.target.clone()), purpose).await
    }

    pub(crate) async fn raw(&self) -> Raw {
        match &self.target {
            Target::Sqlite { path } => Raw::Sqlite(
                SqliteConnectOptions::new()
                    .filename(path)
                    .connect()
                    .await
                    .unwrap(),
            ),
            Target::Postgres { url } => Raw::Postgres(
                PgConnectOptions::from_str(url.expose())
                    .unwrap()
                    .connect()
                    .await
                    .unwrap(),
            ),
        }
    }

    /// Takes away everything that a store has made. None may be open.
    pub(crate) async fn empty(&self) {
        match &self.target {
            Target::Sqlite { path } => std::fs::remove_file(path).unwrap(),
            Target::Postgres { .. } => {
                let sql = "DROP SCHEMA public CASCADE; CREATE SCHEMA public";
                self.raw().await.execute(sql).await;
            }
        }
    }

    async fn remove(&self) {
        if self.engine == Engine::Postgres {
            let mut admin = PgConnection::connect(&postgres_url()).await.unwrap();
            let sql = format!("DROP DATABASE {} WITH (FORCE)", self.name);
            sqlx::query(AssertSqlSafe(sql)).execute(&mut admin).await.unwrap();
        }
    }
}

/// The URL of another database on the server of the suite.
fn url_of(database: &str) -> String {
    let url = postgres_url();
    let (base, query) = url
        .split_once('?')
        .map_or((url.as_str(), ""), |(base, query)| (base, query));
    let (server, _) = base
        .rsplit_once('/')
        .expect("TEST_POSTGRES_URL names a database after the host");
    if query.is_empty() {
        format!("{server}/{database}")
    } else {
        format!("{server}/{database}?{query}")
    }
}

// === impl Raw ===

impl Raw {
    pub(crate) async fn execute(&mut self, sql: &str) {
        let sql = AssertSqlSafe(sql.to_owned());
        match self {
            Self::Sqlite(conn) => sqlx::raw_sql(sql).execute(conn).await.map(drop).unwrap(),
            Self::Postgres(conn) => sqlx::raw_sql(sql).execute(conn).await.map(drop).unwrap(),
        }
    }

    pub(crate) async fn count(&mut self, sql: &str) -> i64 {
        let sql = AssertSqlSafe(sql.to_owned());
        match self {
            Self::Sqlite(conn) => sqlx::query_scalar(sql).fetch_one(conn).await.unwrap(),
            Self::Postgres(conn) => sqlx::query_scalar(sql).fetch_one(conn).await.unwrap(),
        }
    }
}
