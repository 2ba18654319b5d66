//! Which addresses a tunnel may not lead to.
