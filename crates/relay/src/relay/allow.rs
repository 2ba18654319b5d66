//! Who asks, and may they? Everything that is decided before the body is read.

use std::net::IpAddr;

use gateway_core::credential::{Asker, OwnCredential, Plan};
use gateway_core::{ApiToken, UserId};
use gateway_llm::error::ErrorKind;
use gateway_llm::route::{Api, Route, RouteAccess};
use http::HeaderMap;
use http::request::Parts;

use super::{Relay, Wanted};
use crate::access::{AccessError, Admission};
use crate::causes::causes;
use crate::listen::PeerAddr;
use crate::prepare::{self, Provider, UnclearCredential};
use crate::refuse::Refusal;

/// A request that may go upstream.
pub(super) struct Allowed<'a> {
    pub(super) provider: &'a Provider,
    pub(super) api: Api,
    /// The route as it is recorded.
    pub(super) label: &'static str,
    pub(super) uri: http::Uri,
    pub(super) admission: Admission,
    /// The caller's own credential; none means the organisation's key.
    pub(super) own: Option<OwnCredential>,
    pub(super) headers: HeaderMap,
}

// === impl Relay ===

impl Relay {
    pub(super) async fn allow<'a>(
        &'a self,
        parts: &Parts,
        route: &Route<'_>,
        wanted: Wanted<'a>,
    ) -> Result<Allowed<'a>, Refusal> {
        let provider = wanted.provider;
        let presented = prepare::presented(&parts.headers).map_err(|unclear: UnclearCredential| {
            Refusal::new(ErrorKind::InvalidRequest, unclear.to_string())
        })?;
        let plan = match wanted.pinned {
            Some(pinned) => Plan::through_proxy(provider.kind, presented, &pinned.token),
            None => Plan::new(provider.kind, presented),
        };
        let address = parts.extensions.get::<PeerAddr>().map(|peer| peer.0.ip());
        let admission = self.authenticate(&plan.asker, address).await?;
        if !admission.principal().scopes.allows_models() {
            return Err(Refusal::new(
                ErrorKind::Permission,
                "the scope of this token does not allow calling models",
            ));
        }
        let headers = prepare::upstream_headers(&parts.headers, route.api.intercepted());
        if prepare::leaks_token(&headers, parts.uri.path(), parts.uri.query()) {
            return Err(Refusal::new(
                ErrorKind::InvalidRequest,
                "a gateway token stands in the address or in a header where it would reach the provider; \
                 send it in Authorization, X-Api-Key or X-Coder-AI-Governance-Token only",
            ));
        }
        self.check_credential(plan.own.as_ref(), route, provider)?;
        if let (None, Some(object_id)) = (&plan.own, route.object_id) {
            self.check_object(admission.principal().user_id, provider, object_id)
                .await?;
        }
        let uri = provider
            .uri(route.upstream_suffix, parts.uri.query())
            .map_err(|_| {
                Refusal::new(
                    ErrorKind::InvalidRequest,
                    "the address cannot be sent to the provider",
                )
            })?;
        Ok(Allowed {
            provider,
            api: route.api,
            label: route.label,
            uri,
            admission,
            own: plan.own,
            headers,
        })
    }

    /// Whether the route is served with the credential that would be used.
    fn check_credential(
        &self,
        own: Option<&OwnCredential>,
        route: &Route<'_>,
        provider: &Provider,
    ) -> Result<(), Refusal> {
        match own {
            Some(_) if !self.options.allow_byok => Err(Refusal::new(
                ErrorKind::Permission,
                "bringing your own provider credential is switched off on this gateway",
            )),
            None if route.side_call.is_some() => Err(self.side_call_refused(route)),
            None if route.access == RouteAccess::OwnCredentialOnly => Err(Refusal::new(
                ErrorKind::NotFound,
                "not found; this route is served with your own provider credential only",
            )),
            // What is missing is a sign-in, and clients ask for one when they see this status.
            None if !provider.kind.has_central_key() => Err(Refusal::new(
                ErrorKind::Authentication,
                format!(
                    "provider {} takes your own GitHub credential only; send it as a bearer token in Authorization",
                    provider.name
                ),
            )),
            None if !provider.has_key() => Err(Refusal::new(
                ErrorKind::Permission,
                format!(
                    "the organisation has no key for provider {}; bring your own",
                    provider.name
                ),
            )),
            _ => Ok(()),
        }
    }

    /// With the organisation's key an object is there only for the user for whom it was made.
    pub(super) async fn check_object(
        &self,
        user: UserId,
        provider: &Provider,
        object_id: &str,
    ) -> Result<(), Refusal> {
        match self.recorder.made_object(user, &provider.name, object_id).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(Refusal::new(
                ErrorKind::NotFound,
                "the request refers to an object that was not found",
            )),
            Err(error) => {
                tracing::warn!(
                    error = causes(&error),
                    "the owner of an object could not be looked up"
                );
                Err(Refusal::busy(
                    "the object cannot be looked up at the moment; try again",
                ))
            }
        }
    }

    async fn authenticate(&self, asker: &Asker, from: Option<IpAddr>) -> Result<Admission, Refusal> {
        match asker {
            Asker::AnyOf(tokens) => self.admit_any(tokens, from).await,
            Asker::Proxy { token, others } => {
                let admission = self
                    .access
                    .admit(token, from)
                    .await
                    .map_err(|error| not_admitted(&error))?;
                self.compare(&admission, others, from).await?;
                Ok(admission)
            }
        }
    }

    /// One valid token is enough; two of different users are not.
    async fn admit_any(&self, tokens: &[ApiToken], from: Option<IpAddr>) -> Result<Admission, Refusal> {
        let mut admitted: Option<Admission> = None;
        let mut refused: Option<AccessError> = None;
        for token in tokens {
            match self.access.admit(token, from).await {
                Ok(admission) => match &admitted {
                    Some(first) if first.principal().user_id != admission.principal().user_id => {
                        return Err(two_users());
                    }
                    Some(_) => {}
                    None => admitted = Some(admission),
                },
                Err(error) => refused = Some(worse(refused, error)),
            }
        }
        admitted.ok_or_else(|| not_admitted(&refused.unwrap_or(AccessError::Invalid)))
    }

    /// Whoever has authenticated to the proxy is not somebody else inside of it. Dead tokens in a client's settings do no
    /// harm there; of one about which nothing can be known, it is not known whose it is.
    async fn compare(
        &self,
        admission: &Admission,
        others: &[ApiToken],
        from: Option<IpAddr>,
    ) -> Result<(), Refusal> {
        for other in others {
            match self.access.admit(other, from).await {
                Ok(other) if other.principal().user_id != admission.principal().user_id => {
                    return Err(two_users());
                }
                Ok(_) | Err(AccessError::Invalid | AccessError::Expired) => {}
                Err(error @ (AccessError::Busy | AccessError::Unavailable(_))) => {
                    return Err(not_admitted(&error));
                }
            }
        }
        Ok(())
    }
}

fn two_users() -> Refusal {
    Refusal::new(
        ErrorKind::Authentication,
        "the request carries gateway tokens of two different users",
    )
}

fn not_admitted(error: &AccessError) -> Refusal {
    match error {
        AccessError::Invalid => invalid_token(),
        AccessError::Expired => Refusal::new(
            ErrorKind::Authentication,
            "the gateway token has expired; create a new one",
        ),
        AccessError::Busy | AccessError::Unavailable(_) => {
            tracing::warn!(error = causes(error), "a token could not be verified");
            Refusal::busy("tokens cannot be verified at the moment; try again")
        }
    }
}

pub(super) fn invalid_token() -> Refusal {
    Refusal::new(
        ErrorKind::Authentication,
        "a valid gateway token is required; create one with `coder tokens create`",
    )
}

/// Of two failures to verify, the one that leaves more open.
fn worse(first: Option<AccessError>, second: AccessError) -> AccessError {
    let rank = |error: &AccessError| match error {
        AccessError::Invalid => 0,
        AccessError::Expired => 1,
        AccessError::Busy => 2,
        AccessError::Unavailable(_) => 3,
    };
    match first {
        Some(first) if rank(&first) >= rank(&second) => first,
        _ => second,
    }
}
