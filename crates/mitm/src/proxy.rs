//! The listener of the proxy: from a connection to an intercepted host or a tunnel.
