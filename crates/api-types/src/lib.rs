//! JSON of the REST API: what the server reads and writes and what the command line writes and reads.
//!
//! One file a resource. Conversions from the domain into JSON live here, so that both sides agree on them; rules
//! (who may do what, which names are taken) do not. Requests in which a mistyped field would change what is done
//! refuse unknown fields; replies never do, so that an older client can read a newer server.
//!
//! Times are RFC 3339 in UTC with microseconds, durations whole nanoseconds in 64 bits, ids text.

pub mod ai_session;
pub mod audit;
pub mod buildinfo;
pub mod error;
pub mod interception;
pub mod login;
pub mod proxy;
pub mod secret;
pub mod time;
pub mod token;
pub mod usage;
pub mod user;

pub use ai_session::{
    AgenticAction, AiSession, AiSessionDetail, AiSessionHead, AiSessionsPage, AiThread, Thinking, TokenSums,
};
pub use audit::{AuditActor, AuditChange, AuditEntry, AuditPage, AuditTarget};
pub use buildinfo::{BuildInfo, Greeting};
pub use error::{ErrorReply, MessageReply, Validation};
pub use interception::{
    Initiator, Interception, InterceptionsPage, Metadata, ModelThought, TokenUsage, ToolUsage, UserPrompt,
};
pub use login::{AuthMethods, CodeLoginRequest, FirstUserReply, FirstUserRequest, LoginReply, LoginRequest};
pub use proxy::{AiProxy, ProxyAuthority, ProxyHost};
pub use secret::SecretText;
pub use time::Time;
pub use token::{AllowEntry, ApiKey, CreateTokenRequest, KeyLoginType, KeyReply, TokenConfig};
pub use usage::{Usage, UsagePage};
pub use user::{
    AssignableRole, CreateUserRequest, PasswordRequest, ProfileRequest, RoleReply, RolesReply, RolesRequest,
    User, UserLoginType, UserStatus, UsersPage,
};

/// What every path of the REST API begins with.
pub const API_PREFIX: &str = "/api/v2";

/// The header that carries a session or an API token to the REST API.
pub const SESSION_HEADER: &str = "Coder-Session-Token";
