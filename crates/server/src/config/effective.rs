//! The configuration in effect as the audit log tells of it: every option of the table, so that none is forgotten, and
//! of secrets only whether they are set.

use std::collections::BTreeMap;

use super::aibridge::first_given;
use super::error::told;
use super::names::{ALL_PROXY, HTTP_PROXY, HTTPS_PROXY, NO_PROXY};
use super::providers;
use super::reader::Reader;

const SET: &str = "set";
const UNSET: &str = "unset";

/// Option or variable to value; those without a value are left out. To be called when everything could be read.
pub(super) fn options(reader: &mut Reader<'_>) -> BTreeMap<String, String> {
    let mut shown = BTreeMap::new();
    for option in super::options() {
        let value = reader.effective(option);
        let text = match value {
            Some(_) if option.is_secret() => SET.to_owned(),
            None if option.is_secret() => UNSET.to_owned(),
            value => value.as_deref().map(told).unwrap_or_default(),
        };
        shown.insert(option.name.flag.to_owned(), text);
    }
    for (variable, value) in providers::plain_variables(reader.environment) {
        shown.insert(variable, value.map_or_else(|| SET.to_owned(), told));
    }
    // The address of a proxy may hold a password.
    for variables in [HTTPS_PROXY, HTTP_PROXY, ALL_PROXY] {
        let is_set = first_given(reader.environment, variables).is_some();
        shown.insert(
            variables[1].to_owned(),
            if is_set { SET } else { UNSET }.to_owned(),
        );
    }
    let no_proxy = first_given(reader.environment, NO_PROXY).map(|(_, value)| told(&value));
    shown.insert(NO_PROXY[1].to_owned(), no_proxy.unwrap_or_default());
    shown.retain(|_, text| !text.is_empty());
    shown
}
