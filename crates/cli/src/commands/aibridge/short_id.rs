//! Ids as tables show them, and back.
//!
//! Ids begin with the time, to the millisecond, and twelve bits that tell those of one millisecond apart. A table
//! shows that much. Who writes such a beginning means the one id that begins so; the lists are in the order of ids, so
//! one look at the list finds it.

use anyhow::bail;
use uuid::Uuid;

use super::filters::Parameter;

/// `01890a5d-ac96-774b`.
const SHOWN: usize = 18;

/// Less than this would be weeks of ids.
const SHORTEST: usize = 8;

/// The end of the ids that begin with nothing.
const LAST: &str = "ffffffff-ffff-ffff-ffff-ffffffffffff";

pub(super) fn shorten(id: Uuid) -> String {
    let mut id = id.to_string();
    id.truncate(SHOWN);
    id
}

/// The query that lists the two newest ids that begin so, if there are any. None: it is no beginning of an id.
pub(super) fn beginning(text: &str, after: &'static str) -> Option<Vec<Parameter>> {
    let is_form = (SHORTEST..LAST.len()).contains(&text.len())
        && text.bytes().zip(LAST.bytes()).all(|(byte, form)| match form {
            b'-' => byte == b'-',
            _ => byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte),
        });
    is_form.then(|| {
        let last = format!("{text}{}", &LAST[text.len()..]);
        vec![(after, last), ("limit", "2".to_owned())]
    })
}

/// The one that begins so; none if there is none.
pub(super) fn only<T>(text: &str, listed: Vec<T>, id: impl Fn(&T) -> String) -> anyhow::Result<Option<T>> {
    let mut meant = listed.into_iter().filter(|one| id(one).starts_with(text));
    match (meant.next(), meant.next()) {
        (Some(_), Some(_)) => {
            bail!("more than one id begins with {text}; take the whole one: list with `-c \"full id\"`")
        }
        (found, _) => Ok(found),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_beginnings_of_ids() {
        let query = beginning("01890a5d-ac96-774b", "after_id").unwrap();
        assert_eq!(query[0].1, "01890a5d-ac96-774b-ffff-ffffffffffff");
        assert_eq!(
            beginning("01890a5d", "after_id").unwrap()[0].1,
            "01890a5d-ffff-ffff-ffff-ffffffffffff"
        );
        for other in [
            "",
            "01890a5",
            "01890A5D",
            "kitchen-table",
            "01890a5d_ac96",
            "01890a5d-ac96-774b-bcce-b302099a8057",
        ] {
            assert!(beginning(other, "after_id").is_none(), "{other}");
        }
    }

    #[test]
    fn two_are_one_too_many() {
        let id = |text: &&str| (*text).to_owned();
        assert_eq!(only("a", vec!["ab", "b"], id).unwrap(), Some("ab"));
        assert_eq!(only("a", vec!["b"], id).unwrap(), None);
        assert!(only("a", vec!["ab", "ac"], id).is_err());
    }
}
