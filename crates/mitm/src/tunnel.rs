//! Copying between a client and the host it asked for, without looking inside.
