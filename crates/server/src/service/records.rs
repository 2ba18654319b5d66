//! Reading what was recorded of requests to providers.
//!
//! Everybody reads their own. Whoever may read records reads all; to everybody else those of others are not there,
//! whichever way they are asked for.

use std::collections::HashMap;
use std::time::Duration;

use gateway_core::{InterceptionId, Permission, UserId};
use gateway_store::{
    Found, Interception, InterceptionFilter, SessionSummary, Steps, StoreError, Thread, ThreadPage,
    UsageQuery, UsageRow,
};
use uuid::Uuid;

use super::error::ServiceError;
use super::places::Limits;
use super::{Requester, Services, require};

/// The most interceptions, sessions or names that one call lists.
pub const PAGE: u32 = 1000;

/// The most threads that one call lists.
pub const THREADS_PAGE: u32 = 200;

/// How far matches are counted.
const COUNTED: u32 = 10_000;

/// How long counting them may take.
const COUNTING: Duration = Duration::from_secs(1);

/// How long a page may take that is wanted whole.
const PATIENCE: Duration = Duration::from_secs(8);

/// How long somebody who looks at a page waits for rows. Then they are shown what was found, and can go on from there.
const SOON: Duration = Duration::from_millis(25);

/// What an export asks the store for at once, and how long one look may take. It goes on for as long as it has to.
const EXPORT_PAGE: u32 = 500;
const EXPORT_LOOK: Duration = Duration::from_secs(2);

/// Looking for a text reads all prompts of the times that are asked for, with all that a database can give to it.
pub const SEARCHES: Limits = Limits {
    in_all: 4,
    per_user: 1,
    refusal: "you have a search for a text going on already; wait for it to end",
};

/// How many names are remembered.
const NAMES: usize = 10_000;

/// What to list.
#[derive(Clone, Debug, Default)]
pub struct RecordQuery {
    /// Id or username of a user, or `me`.
    pub initiator: Option<String>,
    /// Its own initiator is not looked at.
    pub filter: InterceptionFilter,
    /// Only what comes after this.
    pub after: Option<InterceptionId>,
}

/// Some of what matches.
#[derive(Clone, Debug)]
pub struct RecordPage<T> {
    /// How many match altogether, as far as was counted.
    pub count: u64,
    pub is_capped: bool,
    pub rows: Vec<T>,
}

/// All that matches, page by page, however much that is.
pub struct RecordPages {
    services: Services,
    filter: InterceptionFilter,
    after: Option<InterceptionId>,
}

/// The names of users for display.
#[derive(Clone, Debug, Default)]
pub struct Names(HashMap<UserId, String>);

// === impl Services ===

impl Services {
    /// A page of interceptions, newest first. `limit` is 1 to [`PAGE`].
    pub async fn list_interceptions(
        &self,
        caller: &Requester,
        query: RecordQuery,
        limit: u32,
    ) -> Result<RecordPage<Interception>, ServiceError> {
        let (filter, after) = self.restricted(caller, query).await?;
        check_limit(limit, PAGE)?;
        let records = self.store.interceptions();
        self.search(caller, &filter, async {
            let (count, is_capped) = records.count(&filter, COUNTED, COUNTING).await?;
            let found = records.list(&filter, after, limit, PATIENCE).await?;
            Ok((count, is_capped, found))
        })
        .await
        .and_then(RecordPage::new)
    }

    /// A page of sessions, those that began last first. `limit` is 1 to [`PAGE`].
    pub async fn list_ai_sessions(
        &self,
        caller: &Requester,
        query: RecordQuery,
        limit: u32,
    ) -> Result<RecordPage<SessionSummary>, ServiceError> {
        let (filter, after) = self.restricted(caller, query).await?;
        check_limit(limit, PAGE)?;
        let records = self.store.interceptions();
        self.search(caller, &filter, async {
            let (count, is_capped) = records.count_sessions(&filter, COUNTED, COUNTING).await?;
            let found = records.sessions(&filter, after, limit, PATIENCE).await?;
            Ok((count, is_capped, found))
        })
        .await
        .and_then(RecordPage::new)
    }

    /// The rows of such a page alone, for which counting costs more than they do, as far as they are found soon.
    pub async fn ai_sessions(
        &self,
        caller: &Requester,
        query: RecordQuery,
        limit: u32,
    ) -> Result<Found<SessionSummary>, ServiceError> {
        let (filter, after) = self.restricted(caller, query).await?;
        check_limit(limit, PAGE)?;
        let sessions = self.store.interceptions().sessions(&filter, after, limit, SOON);
        self.search(caller, &filter, sessions).await
    }

    /// Does the work. If it looks for a text it takes a place, and what was too slow was not the database's fault.
    async fn search<T>(
        &self,
        caller: &Requester,
        filter: &InterceptionFilter,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, ServiceError> {
        if filter.text.is_none() {
            return Ok(work.await?);
        }
        let _place = self.searches.enter(caller.user_id)?;
        match work.await {
            Err(StoreError::Timeout { .. }) => Err(too_long()),
            outcome => Ok(outcome?),
        }
    }

    /// All that matches. What the caller may see is decided here; that the caller still is who it was is for whoever
    /// asks for the pages.
    pub async fn export_records(
        &self,
        caller: &Requester,
        query: RecordQuery,
    ) -> Result<RecordPages, ServiceError> {
        let (filter, after) = self.restricted(caller, query).await?;
        Ok(RecordPages {
            services: self.clone(),
            filter,
            after,
        })
    }

    pub async fn find_interception(
        &self,
        caller: &Requester,
        id: InterceptionId,
    ) -> Result<Interception, ServiceError> {
        let found = self.store.interceptions().find(id).await?;
        found
            .filter(|found| found.initiator_id == caller.user_id || reads_all(caller))
            .ok_or(ServiceError::NotFound("interception"))
    }

    /// The id of the session that an interception of its initiator is in. Clients of others may have given theirs the
    /// same name.
    pub async fn session_of(
        &self,
        caller: &Requester,
        found: &Interception,
    ) -> Result<Option<InterceptionId>, ServiceError> {
        if found.initiator_id != caller.user_id {
            require(caller, Permission::ReadRecords)?;
        }
        let records = self.store.interceptions();
        let session = records
            .find_session(Some(found.initiator_id), &found.session_id)
            .await?;
        Ok(session.map(|session| session.id))
    }

    /// A session by its own id or the one that its client gave it, with a page of its threads. `limit` is 1 to
    /// [`THREADS_PAGE`].
    pub async fn find_ai_session(
        &self,
        caller: &Requester,
        id: &str,
        page: ThreadPage,
        limit: u32,
        steps: Steps,
    ) -> Result<(SessionSummary, Vec<Thread>), ServiceError> {
        let whose = (!reads_all(caller)).then_some(caller.user_id);
        check_limit(limit, THREADS_PAGE)?;
        let records = self.store.interceptions();
        let session = records.find_session(whose, id).await?;
        let session = session.ok_or(ServiceError::NotFound("session"))?;
        let threads = records
            .threads(session.initiator_id, &session.session_id, page, limit, steps)
            .await?;
        Ok((session, threads))
    }

    /// Sums by what the query groups by. `initiator` is as in [`RecordQuery`].
    pub async fn usage(
        &self,
        caller: &Requester,
        initiator: Option<&str>,
        query: UsageQuery,
    ) -> Result<Vec<UsageRow>, ServiceError> {
        let query = UsageQuery {
            initiator: self.whose(caller, initiator).await?,
            ..query
        };
        let rows = self.store.interceptions().usage(&query).await?;
        let most = query.most_rows();
        if rows.len() >= most as usize {
            return Err(ServiceError::refused(format!(
                "there are {most} groups or more; group by less, or narrow the times"
            )));
        }
        Ok(rows)
    }

    /// Models that were asked for, of those that the caller may see. `limit` is 1 to [`PAGE`].
    pub async fn models(
        &self,
        caller: &Requester,
        prefix: &str,
        limit: u32,
    ) -> Result<Vec<String>, ServiceError> {
        let whose = self.whose(caller, None).await?;
        check_limit(limit, PAGE)?;
        Ok(self.store.interceptions().models(whose, prefix, limit).await?)
    }

    /// Clients that asked, likewise.
    pub async fn clients(
        &self,
        caller: &Requester,
        prefix: &str,
        limit: u32,
    ) -> Result<Vec<String>, ServiceError> {
        let whose = self.whose(caller, None).await?;
        check_limit(limit, PAGE)?;
        Ok(self.store.interceptions().clients(whose, prefix, limit).await?)
    }

    async fn restricted(
        &self,
        caller: &Requester,
        query: RecordQuery,
    ) -> Result<(InterceptionFilter, Option<InterceptionId>), ServiceError> {
        let filter = InterceptionFilter {
            initiator: self.whose(caller, query.initiator.as_deref()).await?,
            ..query.filter
        };
        Ok((filter, query.after))
    }

    /// Whose records are to be read: of all if none. Whoever is not there, or not for the caller to see, has none.
    async fn whose(
        &self,
        caller: &Requester,
        initiator: Option<&str>,
    ) -> Result<Option<UserId>, ServiceError> {
        let wanted = match initiator {
            None if reads_all(caller) => return Ok(None),
            None | Some("me") => Some(caller.user_id),
            Some(text) => match text.parse() {
                // Of a user who was deleted the id is all that is left.
                Ok(id) => Some(id),
                Err(_) => self
                    .store
                    .users()
                    .find_by_username(text)
                    .await?
                    .map(|user| user.id),
            },
        };
        let visible = wanted.filter(|id| *id == caller.user_id || reads_all(caller));
        Ok(Some(visible.unwrap_or(NOBODY)))
    }
}

/// No user has this id.
const NOBODY: UserId = UserId::from_uuid(Uuid::nil());

fn reads_all(caller: &Requester) -> bool {
    caller.roles.allow(Permission::ReadRecords)
}

fn check_limit(limit: u32, most: u32) -> Result<(), ServiceError> {
    if (1..=most).contains(&limit) {
        return Ok(());
    }
    Err(ServiceError::field("limit", format!("must be 1 to {most}")))
}

fn too_long() -> ServiceError {
    ServiceError::refused(
        "looking for this takes too long; narrow the times, or name a client, provider or model",
    )
}

// === impl RecordPage ===

impl<T> RecordPage<T> {
    /// A page that stops before it is full would look like the end.
    fn new((count, is_capped, found): (u64, bool, Found<T>)) -> Result<Self, ServiceError> {
        if found.stopped_at.is_some() {
            return Err(too_long());
        }
        Ok(Self {
            count,
            is_capped,
            rows: found.rows,
        })
    }
}

// === impl RecordPages ===

impl RecordPages {
    pub fn services(&self) -> &Services {
        &self.services
    }

    /// The next interceptions, at most as many; none at the end.
    pub async fn interceptions(&mut self, at_most: u64) -> Result<Vec<Interception>, ServiceError> {
        let limit = export_limit(at_most);
        loop {
            let records = self.services.store.interceptions();
            let found = records.list(&self.filter, self.after, limit, EXPORT_LOOK).await?;
            if let Some(rows) = self.next(found, |row| row.id) {
                return Ok(rows);
            }
        }
    }

    /// The next sessions, at most as many; none at the end.
    pub async fn sessions(&mut self, at_most: u64) -> Result<Vec<SessionSummary>, ServiceError> {
        let limit = export_limit(at_most);
        loop {
            let records = self.services.store.interceptions();
            let found = records
                .sessions(&self.filter, self.after, limit, EXPORT_LOOK)
                .await?;
            if let Some(rows) = self.next(found, |row| row.id) {
                return Ok(rows);
            }
        }
    }

    /// The rows, and goes on after them. None: nothing was found so far.
    fn next<T>(&mut self, found: Found<T>, id: impl Fn(&T) -> InterceptionId) -> Option<Vec<T>> {
        let last = found.rows.last().map(id);
        self.after = found.stopped_at.or(last).or(self.after);
        (last.is_some() || found.stopped_at.is_none()).then_some(found.rows)
    }
}

fn export_limit(at_most: u64) -> u32 {
    u32::try_from(at_most).map_or(EXPORT_PAGE, |at_most| at_most.min(EXPORT_PAGE))
}

// === impl Names ===

impl Names {
    /// Looks up those that are not known yet. What is known may be as old as this is.
    pub async fn learn(
        &mut self,
        services: &Services,
        users: impl IntoIterator<Item = UserId> + Send,
    ) -> Result<(), ServiceError> {
        if self.0.len() > NAMES {
            self.0.clear();
        }
        let mut unknown: Vec<UserId> = users.into_iter().collect();
        unknown.sort_unstable();
        unknown.dedup();
        unknown.retain(|id| !self.0.contains_key(id));
        for id in unknown {
            let user = services.store.users().find(id).await?;
            self.0.insert(id, user.map(|user| user.name).unwrap_or_default());
        }
        Ok(())
    }

    /// Empty if the user has none, or is gone.
    pub fn of(&self, user: UserId) -> String {
        self.0.get(&user).cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use gateway_core::Secret;
    use gateway_core::audit::Source;

    use super::*;
    use crate::service::testing::{PASSWORD, add, requester, services};

    fn looking_for(text: Option<&str>) -> RecordQuery {
        RecordQuery {
            filter: InterceptionFilter {
                text: text.map(str::to_owned),
                ..InterceptionFilter::default()
            },
            ..RecordQuery::default()
        }
    }

    #[tokio::test]
    async fn few_look_for_a_text_at_once() {
        let (services, _directory) = services().await;
        let mut callers = Vec::new();
        for name in ["alice", "bob"] {
            let email = format!("{name}@example.com");
            add(&services, name, Some(&email), Some(PASSWORD)).await;
            let token = services
                .login(&email, Secret::new(PASSWORD), &Source::default())
                .await
                .unwrap();
            callers.push(requester(&services, &token, Source::default()).await);
        }
        let [alice, bob] = &callers[..] else { panic!() };
        let going_on = services.searches.enter(alice.user_id).unwrap();
        let bread = || looking_for(Some("bread"));
        for refused in [
            services.list_interceptions(alice, bread(), 1).await.err(),
            services.list_ai_sessions(alice, bread(), 1).await.err(),
            services.ai_sessions(alice, bread(), 1).await.err(),
        ] {
            assert!(matches!(refused, Some(ServiceError::TooMany(_))), "{refused:?}");
        }
        services
            .list_interceptions(alice, looking_for(None), 1)
            .await
            .unwrap();
        services.list_interceptions(bob, bread(), 1).await.unwrap();
        drop(going_on);
        services.list_interceptions(alice, bread(), 1).await.unwrap();

        let slow = async || Err::<(), _>(StoreError::Timeout { operation: "test" });
        let search = services.search(alice, &bread().filter, slow()).await;
        assert!(matches!(search, Err(ServiceError::Invalid { .. })), "{search:?}");
        let list = services.search(alice, &looking_for(None).filter, slow()).await;
        assert!(matches!(list, Err(ServiceError::Unavailable(_))), "{list:?}");
    }
}
