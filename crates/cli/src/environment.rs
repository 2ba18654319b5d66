//! The names of the environment variables that the command line reads. The server's own are with its options.

/// Address of the server.
pub(crate) const URL: &str = "CODER_URL";
/// The token for this call.
pub(crate) const SESSION_TOKEN: &str = "CODER_SESSION_TOKEN";
/// Where session, URL and the embedded database are kept.
pub(crate) const CONFIG_DIR: &str = "CODER_CONFIG_DIR";
/// Headers to add to each request, one a line.
pub(crate) const HEADER: &str = "CODER_HEADER";
/// Longer errors.
pub(crate) const VERBOSE: &str = "CODER_VERBOSE";

/// The password of `coder login`, for scripts. There is no flag for it, since flags can be seen by others.
pub(crate) const LOGIN_PASSWORD: &str = "CODER_LOGIN_PASSWORD";
pub(crate) const FIRST_USER_EMAIL: &str = "CODER_FIRST_USER_EMAIL";
pub(crate) const FIRST_USER_USERNAME: &str = "CODER_FIRST_USER_USERNAME";
pub(crate) const FIRST_USER_FULL_NAME: &str = "CODER_FIRST_USER_FULL_NAME";
pub(crate) const FIRST_USER_PASSWORD: &str = "CODER_FIRST_USER_PASSWORD";
pub(crate) const FIRST_USER_CODE: &str = "CODER_FIRST_USER_CODE";
pub(crate) const FIRST_USER_TRIAL: &str = "CODER_FIRST_USER_TRIAL";

pub(crate) const TOKEN_LIFETIME: &str = "CODER_TOKEN_LIFETIME";
pub(crate) const TOKEN_NAME: &str = "CODER_TOKEN_NAME";
pub(crate) const TOKEN_USER: &str = "CODER_TOKEN_USER";

/// The password of `coder users create`.
pub(crate) const USER_PASSWORD: &str = "CODER_USER_PASSWORD";
pub(crate) const ORGANIZATION: &str = "CODER_ORGANIZATION";

/// The program that shows web pages.
pub(crate) const BROWSER: &str = "BROWSER";
/// Not to start it.
pub(crate) const NO_OPEN: &str = "CODER_NO_OPEN";

/// The shell of whoever runs this.
pub(crate) const SHELL: &str = "SHELL";

/// What programs reach the web through, and what not; the other spelling is as good.
pub(crate) const HTTPS_PROXY: [&str; 2] = ["HTTPS_PROXY", "https_proxy"];
pub(crate) const NO_PROXY: [&str; 2] = ["NO_PROXY", "no_proxy"];
/// The file with the root certificates that programs trust instead of the system's.
pub(crate) const SSL_CERT_FILE: &str = "SSL_CERT_FILE";

/// Of `coder server create-admin-user`.
pub(crate) const ADMIN_USERNAME: &str = "CODER_USERNAME";
pub(crate) const ADMIN_EMAIL: &str = "CODER_EMAIL";
pub(crate) const ADMIN_PASSWORD: &str = "CODER_PASSWORD";

/// Reads one variable that has no flag. Empty is as good as not there.
#[expect(
    clippy::disallowed_methods,
    reason = "this is where the command line's configuration is read"
)]
pub(crate) fn read(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
