//! Writing the ends of interceptions: closing them, what was seen of the answer, and the sums.

use std::borrow::Cow;
use std::collections::BTreeMap;

use gateway_core::interception::{End, Outcome, Record, TokenUsage};

use super::batch::{ManyRows, Value, WriteRows, Writer};
use super::rollup::{self, ClosedRow, Rollup, Sums};
use crate::fault::Fault;

/// The largest number of tokens that is stored. A provider could claim any, and sums must not overflow.
const MAX_TOKENS: u64 = 1 << 40;

/// Columns of the usage of tokens.
macro_rules! usage_columns {
    () => {
        "interception_id, provider_response_id, input_tokens, output_tokens, cache_read_input_tokens, \
         cache_write_input_tokens, reasoning_tokens, service_tier, metadata, is_partial, created_at"
    };
}

/// Closes interceptions and adds their usage of tokens, if there is one. The eleventh column is the outcome that the row
/// must have so far: none while it is open.
static END: WriteRows = WriteRows::new(
    ManyRows::new(
        "WITH v AS (SELECT * FROM ",
        19,
        concat!(
            "), closed AS (UPDATE aibridge_interceptions AS i SET outcome = v.column2, status = v.column3, \
             answered_model = v.column4, provider_response_id = v.column5, stop_reason = v.column6, \
             error_type = v.column7, error_message = v.column8, ended_at = v.column9, marks = i.marks | v.column10 \
             FROM v WHERE i.id = v.column1 AND i.outcome IS NOT DISTINCT FROM v.column11 RETURNING ",
            rollup::closed_columns!(),
            "), used AS (INSERT INTO aibridge_token_usages (",
            usage_columns!(),
            ") SELECT column1, column5, column12, column13, column14, column15, column16, column17, column18, column19, \
             column9 FROM v JOIN closed ON closed.id = v.column1 WHERE v.column18 IS NOT NULL ON CONFLICT DO NOTHING) \
             SELECT * FROM closed"
        ),
    ),
    &[
        concat!(
            "SELECT ",
            rollup::closed_columns!(),
            " FROM aibridge_interceptions WHERE id = ?1 AND outcome IS NOT DISTINCT FROM ?11"
        ),
        "UPDATE aibridge_interceptions SET outcome = ?2, status = ?3, answered_model = ?4, provider_response_id = ?5, \
         stop_reason = ?6, error_type = ?7, error_message = ?8, ended_at = ?9, marks = marks | ?10 \
         WHERE id = ?1 AND outcome IS NOT DISTINCT FROM ?11",
        concat!(
            "INSERT INTO aibridge_token_usages (",
            usage_columns!(),
            ") SELECT ?1, ?5, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?9 WHERE ?18 IS NOT NULL ON CONFLICT DO NOTHING"
        ),
    ],
);

static THOUGHT: WriteRows = WriteRows::new(
    ManyRows::new(
        "INSERT INTO aibridge_model_thoughts (interception_id, ordinal, source, content, is_cut, created_at) \
     SELECT * FROM ",
        6,
        " WHERE column1 IS NOT NULL ON CONFLICT DO NOTHING",
    ),
    &[
        "INSERT INTO aibridge_model_thoughts (interception_id, ordinal, source, content, is_cut, created_at) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING",
    ],
);

/// Ends by the id of their interception, in its order.
type Ends<'a> = BTreeMap<String, &'a End>;

/// Writes ends, at most one for each interception.
pub(super) async fn write(writer: &mut impl Writer, ends: &[(&Record, &End)]) -> Result<(), Fault> {
    let mut open: Ends<'_> = ends
        .iter()
        .map(|(record, end)| (record.id.to_string(), *end))
        .collect();
    let mut rollup = Rollup::default();
    let mut thoughts = Vec::new();
    for row in close(writer, &open, None).await? {
        if let Some((id, end)) = open.remove_entry(&row.id) {
            rollup.add(row, &Sums::of(end));
            push_thoughts(&mut thoughts, &id, end);
        }
    }
    // What is left is closed already, or unknown, or was taken for interrupted while its run could not renew its lease.
    open.retain(|_, end| end.outcome != Outcome::Interrupted);
    for row in close(writer, &open, Some(Outcome::Interrupted)).await? {
        if let Some((id, end)) = open.remove_entry(&row.id) {
            rollup.add(row, &Sums::of(end).instead_of(&Sums::INTERRUPTED));
            push_thoughts(&mut thoughts, &id, end);
        }
    }
    writer.write(&THOUGHT, &thoughts).await?;
    rollup.write(writer).await
}

/// Closes those whose outcome so far is this one. Returns what was closed.
async fn close(
    writer: &mut impl Writer,
    ends: &Ends<'_>,
    so_far: Option<Outcome>,
) -> Result<Vec<ClosedRow>, Fault> {
    let mut rows = Vec::with_capacity(ends.len() * 19);
    for (id, end) in ends {
        let usage = end.usage.as_ref();
        let count = |of: fn(&TokenUsage) -> u64| usage.map(of).map(tokens);
        rows.extend::<[Value<'_>; 19]>([
            id.as_str().into(),
            end.outcome.as_str().into(),
            end.status.map(i64::from).into(),
            (&end.answered_model).into(),
            (&end.provider_response_id).into(),
            (&end.stop_reason).into(),
            (&end.error_type).into(),
            (&end.error_message).into(),
            end.ended_at.as_micros().into(),
            i64::from(end.marks.bits()).into(),
            so_far.map(Outcome::as_str).into(),
            count(|usage| usage.input).into(),
            count(|usage| usage.output).into(),
            count(|usage| usage.cache_read_input).into(),
            count(|usage| usage.cache_write_input).into(),
            usage.and_then(|usage| usage.reasoning).map(tokens).into(),
            usage.and_then(|usage| usage.service_tier.as_deref()).into(),
            Value::Text(usage.map(metadata).map(Cow::Owned)),
            usage.map(|usage| usage.is_partial).into(),
        ]);
    }
    writer.write_returning(&END, &rows).await
}

fn push_thoughts<'a>(rows: &mut Vec<Value<'a>>, id: &str, end: &'a End) {
    for (thought, ordinal) in end.thoughts.iter().zip(0_i64..) {
        rows.extend::<[Value<'_>; 6]>([
            id.to_owned().into(),
            ordinal.into(),
            thought.source.into(),
            thought.content.as_str().into(),
            thought.is_cut.into(),
            thought.created_at.as_micros().into(),
        ]);
    }
}

/// A number of tokens as it is stored.
pub(super) fn tokens(count: u64) -> i64 {
    i64::try_from(count.min(MAX_TOKENS)).expect("the bound is far below that of the type")
}

/// The other counters as a JSON object.
fn metadata(usage: &TokenUsage) -> String {
    let counters = usage
        .extra
        .iter()
        .map(|(name, count)| (name.clone(), tokens(*count).into()))
        .collect::<serde_json::Map<_, _>>();
    serde_json::Value::Object(counters).to_string()
}
