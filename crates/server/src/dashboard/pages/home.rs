//! Where one arrives.

use axum::response::Redirect;

use crate::dashboard::layout::Place;

pub(in crate::dashboard) async fn show() -> Redirect {
    Redirect::to(Place::Tokens.address())
}
