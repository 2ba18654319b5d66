//! Opening and closing: migrations, locks, files.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use gateway_core::{Role, Secret};
use gateway_store::{Author, Engine, OpenError, Purpose, Store, StoreError, StoreOptions, Target};

use crate::support::{NOW, Place, TestDb, eventually, new_user, on_both_engines, run_unopened};

on_both_engines!(
    what_was_written_is_there_after_reopening,
    a_newer_schema_is_refused,
    an_edited_migration_is_refused,
    a_closed_store_says_so,
    several_stores_migrate_at_once,
    offline_is_refused_while_a_server_runs,
    a_server_is_refused_while_offline_work_runs,
    a_killed_holder_frees_the_lock,
    a_store_that_is_only_dropped_frees_the_lock,
    a_row_that_cannot_be_read_is_named,
);

/// Tells the other process of `a_killed_holder_frees_the_lock` what to open.
const HOLD: &str = "GATEWAY_STORE_TEST_HOLD";

async fn what_was_written_is_there_after_reopening(db: &TestDb) {
    let ann = db.user("ann", [Role::Owner]).await;
    let token = db.api_token(&ann, "ci").await;
    db.store.close().await;
    let again = db.place.open(Purpose::Offline).await.unwrap();
    assert_eq!(again.engine(), db.place.engine);
    again.ping().await.unwrap();
    assert_eq!(
        again.tokens().find_with_user(token.id).await.unwrap(),
        Some((token, ann))
    );
    assert!(again.users().is_set_up().await.unwrap());
    again.close().await;
}

async fn a_newer_schema_is_refused(db: &TestDb) {
    db.store.close().await;
    let success = if db.place.engine == Engine::Sqlite {
        "1"
    } else {
        "TRUE"
    };
    db.execute(&format!(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         VALUES (9999, 'from the future', {success}, '', 0)"
    ))
    .await;
    let error = db.place.open(Purpose::Server).await.unwrap_err();
    assert!(
        matches!(error, OpenError::NewerSchema { version: 9999, .. }),
        "{error:?}"
    );
    assert!(error.to_string().contains("newer version"), "{error}");
    db.execute("DELETE FROM _sqlx_migrations WHERE version = 9999")
        .await;
    db.place
        .open(Purpose::Server)
        .await
        .expect("the refusal left nothing locked")
        .close()
        .await;
}

async fn an_edited_migration_is_refused(db: &TestDb) {
    db.store.close().await;
    let other = if db.place.engine == Engine::Sqlite {
        "x'00'"
    } else {
        r"'\x00'"
    };
    db.execute(&format!("UPDATE _sqlx_migrations SET checksum = {other}"))
        .await;
    let error = db.place.open(Purpose::Server).await.unwrap_err();
    assert!(matches!(error, OpenError::Migrate { .. }), "{error:?}");
}

async fn a_closed_store_says_so(db: &TestDb) {
    let twin = db.store.clone();
    db.store.close().await;
    db.store.close().await;
    assert!(matches!(twin.ping().await, Err(StoreError::Unavailable { .. })));
    let error = twin
        .users()
        .create(&Author::System, new_user("ann", []), NOW)
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            StoreError::Unavailable {
                operation: "users.create",
                ..
            }
        ),
        "{error:?}"
    );
}

/// Replicas that start together; on SQLite one of them gets the lock.
async fn several_stores_migrate_at_once(db: &TestDb) {
    db.store.close().await;
    let place = &db.place;
    place.empty().await;
    let opened =
        futures_util::future::join_all((0..5).map(|_| async { place.open(Purpose::Server).await })).await;
    let expected = if place.engine == Engine::Sqlite { 1 } else { 5 };
    let stores: Vec<Store> = opened
        .into_iter()
        .filter_map(|outcome| match outcome {
            Ok(store) => Some(store),
            Err(OpenError::InUse {
                purpose: Purpose::Server,
                ..
            }) => None,
            Err(error) => panic!("{error:?}"),
        })
        .collect();
    assert_eq!(stores.len(), expected);
    stores[0]
        .users()
        .create(&Author::System, new_user("ann", []), NOW)
        .await
        .unwrap();
    for store in stores {
        assert!(store.users().find_by_username("ann").await.unwrap().is_some());
        store.close().await;
    }
}

async fn offline_is_refused_while_a_server_runs(db: &TestDb) {
    let error = db.place.open(Purpose::Offline).await.unwrap_err();
    assert!(
        matches!(
            error,
            OpenError::InUse {
                purpose: Purpose::Offline,
                ..
            }
        ),
        "{error:?}"
    );
    assert!(
        error.to_string().starts_with("a server is using the database "),
        "{error}"
    );
    db.store.ping().await.unwrap();
    db.store.close().await;
    db.place.open(Purpose::Offline).await.unwrap().close().await;
}

async fn a_server_is_refused_while_offline_work_runs(db: &TestDb) {
    db.store.close().await;
    let offline = db.place.open(Purpose::Offline).await.unwrap();
    for purpose in [Purpose::Server, Purpose::Offline] {
        let error = db.place.open(purpose).await.unwrap_err();
        assert!(matches!(error, OpenError::InUse { .. }), "{error:?}");
    }
    offline.close().await;
    db.place.open(Purpose::Server).await.unwrap().close().await;
}

async fn a_store_that_is_only_dropped_frees_the_lock(db: &TestDb) {
    db.store.close().await;
    drop(db.place.open(Purpose::Offline).await.unwrap());
    eventually("the lock is free", async || {
        match db.place.open(Purpose::Offline).await {
            Ok(store) => {
                store.close().await;
                true
            }
            Err(OpenError::InUse { .. }) => false,
            Err(error) => panic!("{error:?}"),
        }
    })
    .await;
}

async fn a_killed_holder_frees_the_lock(db: &TestDb) {
    db.store.close().await;
    let url = match &db.place.target {
        Target::Sqlite { path } => format!("sqlite:{}", path.display()),
        Target::Postgres { url } => url.expose().to_owned(),
    };
    let (mut holder, line) = tokio::task::spawn_blocking(move || start_holder(&url))
        .await
        .unwrap();
    assert!(line.contains("holding"), "{line}");
    let refused = db.place.open(Purpose::Offline).await;
    holder.kill().unwrap();
    holder.wait().unwrap();
    assert!(matches!(refused, Err(OpenError::InUse { .. })), "{refused:?}");
    eventually("the lock is free", async || {
        match db.place.open(Purpose::Offline).await {
            Ok(store) => {
                store.close().await;
                true
            }
            Err(OpenError::InUse { .. }) => false,
            Err(error) => panic!("{error:?}"),
        }
    })
    .await;
}

/// Starts this program again, to do nothing but `holds_the_lock_until_killed`.
fn start_holder(url: &str) -> (Child, String) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "opening::holds_the_lock_until_killed", "--nocapture"])
        .env(HOLD, url)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    let line = output
        .lines()
        .map_while(Result::ok)
        .find(|line| line.contains("holding"))
        .unwrap_or_default();
    (child, line)
}

/// By itself: a server holds its lock for as long as it is open. As the other process: on the database it is told,
/// until it is killed or its standard input ends.
#[tokio::test]
async fn holds_the_lock_until_killed() {
    let folder = tempfile::tempdir().unwrap();
    let told = std::env::vars().find_map(|(name, value)| (name == HOLD).then_some(value));
    let url = told
        .clone()
        .unwrap_or_else(|| format!("sqlite:{}", folder.path().join("coder.db").display()));
    let options = StoreOptions::new(Target::parse(&Secret::new(url)).unwrap());
    let store = Store::open(options.clone(), Purpose::Server).await.unwrap();
    let refused = Store::open(options, Purpose::Offline).await;
    assert!(matches!(refused, Err(OpenError::InUse { .. })), "{refused:?}");
    if told.is_some() {
        println!("holding");
        let wait = tokio::task::spawn_blocking(|| std::io::stdin().lines().count());
        tokio::time::timeout(Duration::from_mins(1), wait)
            .await
            .unwrap()
            .unwrap();
    }
    store.close().await;
}

async fn a_row_that_cannot_be_read_is_named(db: &TestDb) {
    let ann = db.user("ann", []).await;
    let token = db.api_token(&ann, "ci").await;
    db.execute("UPDATE users SET roles = 'emperor'").await;
    let error = db.store.users().find(ann.id).await.unwrap_err();
    let expected = format!(
        "the row {} of table users has an unusable value in column roles",
        ann.id
    );
    assert_eq!(error.to_string(), expected);
    assert!(matches!(
        db.store.tokens().find_with_user(token.id).await,
        Err(StoreError::BadRow { .. })
    ));
    db.execute("UPDATE tokens SET scopes = ''").await;
    let error = db.store.tokens().find(token.id).await.unwrap_err();
    let expected = format!(
        "the row {} of table tokens has an unusable value in column scopes",
        token.id
    );
    assert_eq!(error.to_string(), expected);
}

#[tokio::test]
async fn a_second_sqlite_server_is_refused() {
    run_unopened(Engine::Sqlite, async |place: &Place| {
        let first = place.open(Purpose::Server).await.unwrap();
        let error = place.open(Purpose::Server).await.unwrap_err();
        assert!(
            matches!(
                error,
                OpenError::InUse {
                    purpose: Purpose::Server,
                    ..
                }
            ),
            "{error:?}"
        );
        assert!(
            error.to_string().contains("coder.db is in use by another server"),
            "{error}"
        );
        first.close().await;
        place.open(Purpose::Server).await.unwrap().close().await;
    })
    .await;
}

#[cfg(unix)]
#[tokio::test]
async fn the_sqlite_files_are_for_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    run_unopened(Engine::Sqlite, async |place: &Place| {
        let path = place.folder.path().join("new/folder/coder.db");
        let mode = |suffix: &str| {
            let path = format!("{}{suffix}", path.display());
            std::fs::metadata(path).unwrap().permissions().mode() & 0o777
        };
        let options = StoreOptions::new(Target::Sqlite { path: path.clone() });
        let store = Store::open(options.clone(), Purpose::Server).await.unwrap();
        store
            .users()
            .create(&Author::System, new_user("ann", []), NOW)
            .await
            .unwrap();
        for suffix in ["", "-wal", "-shm", ".lock"] {
            assert_eq!(mode(suffix), 0o600, "{suffix}");
        }
        assert_eq!(
            std::fs::metadata(path.parent().unwrap())
                .unwrap()
                .permissions()
                .mode()
                & 0o777,
            0o700
        );
        store.close().await;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        Store::open(options, Purpose::Server).await.unwrap().close().await;
        assert_eq!(mode(""), 0o600, "narrowed again");
    })
    .await;
}

/// Two names of one file meet at one lock.
#[cfg(unix)]
#[tokio::test]
async fn a_link_to_a_served_file_is_refused() {
    run_unopened(Engine::Sqlite, async |place: &Place| {
        let store = place.open(Purpose::Server).await.unwrap();
        let link = place.folder.path().join("link.db");
        std::os::unix::fs::symlink(place.folder.path().join("coder.db"), &link).unwrap();
        let options = StoreOptions::new(Target::Sqlite { path: link });
        let refused = Store::open(options, Purpose::Server).await;
        assert!(matches!(refused, Err(OpenError::InUse { .. })), "{refused:?}");
        store.close().await;
    })
    .await;
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused() {
    run_unopened(Engine::Sqlite, async |place: &Place| {
        let path = place.folder.path().join("coder.db");
        std::fs::write(
            &path,
            "this is not a database, it is a text of some length\n".repeat(100),
        )
        .unwrap();
        let error = place.open(Purpose::Server).await.unwrap_err();
        assert!(matches!(error, OpenError::Connect { .. }), "{error:?}");
        assert!(error.to_string().contains("coder.db"), "{error}");
    })
    .await;
}

#[tokio::test]
async fn an_unreachable_server_is_named_without_its_password() {
    let url = "postgres://ann:hunter2secret@127.0.0.1:1/gateway";
    let target = Target::parse(&Secret::new(url)).unwrap();
    let error = Store::open(StoreOptions::new(target), Purpose::Server)
        .await
        .unwrap_err();
    assert!(matches!(error, OpenError::Connect { .. }), "{error:?}");
    assert_eq!(
        error.to_string(),
        "cannot open the database postgres://ann@127.0.0.1:1/gateway"
    );
    assert!(!format!("{error:?}").contains("hunter2secret"));
}
