//! What a server has recorded, read from its database once it has ended.

use std::collections::BTreeMap;
use std::time::Duration;

use gateway_core::Secret;
use gateway_core::interception::{Mark, Outcome};
use gateway_store::{
    DEFAULT_FILE_NAME, Interception, InterceptionFilter, Purpose, Store, StoreOptions, Synchronous, Target,
};
use serde_json::{Value, json};

use crate::support::{Gateway, Site};

/// For one page.
const PATIENCE: Duration = Duration::from_mins(1);

/// Ends the server in order and gives all that it recorded, oldest first.
pub(crate) async fn recorded(gateway: Gateway) -> (Site, Vec<Interception>) {
    gateway.signal("TERM");
    let (site, ended_well) = gateway.ended().await;
    assert!(ended_well, "{}", site.log());
    let rows = read(&site).await;
    (site, rows)
}

async fn read(site: &Site) -> Vec<Interception> {
    let target = match site.database_url() {
        Some(url) => Target::Postgres {
            url: Secret::new(url),
        },
        None => Target::Sqlite {
            path: site.path("server").join(DEFAULT_FILE_NAME),
        },
    };
    let options = StoreOptions {
        target,
        max_connections: 2,
        record_synchronous: Synchronous::default(),
    };
    let store = Store::open(options, Purpose::Server).await.unwrap();
    let mut rows: Vec<Interception> = Vec::new();
    loop {
        let after = rows.last().map(|row| row.id);
        let page = store
            .interceptions()
            .list(&InterceptionFilter::default(), after, 1000, PATIENCE)
            .await
            .unwrap();
        if page.rows.is_empty() {
            break;
        }
        rows.extend(page.rows);
    }
    store.close().await;
    rows.reverse();
    rows
}

/// The only one of this user agent, which is how a test names its requests.
pub(crate) fn of<'a>(rows: &'a [Interception], user_agent: &str) -> &'a Interception {
    let mut found = rows
        .iter()
        .filter(|row| row.user_agent.as_deref() == Some(user_agent));
    let row = found
        .next()
        .unwrap_or_else(|| panic!("nothing was recorded of {user_agent}"));
    assert!(found.next().is_none(), "{user_agent} was recorded twice");
    row
}

/// What a record says of request and answer, without ids and times, in the words of the corpus.
pub(crate) fn shown(row: &Interception) -> Value {
    let tools = row.tools.iter().enumerate().map(|(ordinal, tool)| {
        assert_eq!(usize::try_from(tool.ordinal), Ok(ordinal));
        json!({
            "response_id": tool.provider_response_id,
            "item_id": tool.provider_item_id,
            "call_id": tool.provider_tool_call_id,
            "name": tool.tool,
            "kind": tool.kind.as_str(),
            "arguments": tool.input,
            "arguments_cut": tool.is_cut,
        })
    });
    let thoughts = row.thoughts.iter().map(
        |thought| json!({"source": thought.source, "content": thought.content, "is_cut": thought.is_cut}),
    );
    json!({
        "provider": row.provider.as_str(),
        "provider_name": row.provider_name,
        "route": row.route,
        "asked_model": row.model,
        "is_streamed": row.is_streamed,
        "prompt": row.prompt,
        "outcome": row.outcome.map(Outcome::as_str),
        "status": row.status,
        "model": row.answered_model,
        "response_id": row.provider_response_id,
        "stop_reason": row.stop_reason,
        "error": {"kind": row.error_type, "message": row.error_message},
        "usage": row.usage.as_ref().map(|usage| json!({
            "input": usage.input,
            "output": usage.output,
            "cache_read": usage.cache_read_input,
            "cache_write": usage.cache_write_input,
            "reasoning": usage.reasoning,
            "service_tier": usage.service_tier,
            "extra": usage.extra.iter().cloned().collect::<BTreeMap<_, _>>(),
            "is_partial": usage.is_partial,
        })),
        "tool_calls": tools.collect::<Vec<_>>(),
        "thoughts": thoughts.collect::<Vec<_>>(),
        "marks": row.marks.iter().map(Mark::as_str).collect::<Vec<_>>(),
    })
}
