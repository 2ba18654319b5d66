//! Connecting a tunnel: resolving, checking, dialling what was checked, directly or through a proxy further on.
