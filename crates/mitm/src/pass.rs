//! By what right a client has its connection, and when it loses it.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use gateway_core::{ApiToken, UserId};
use gateway_relay::access::registry::Sever;
use gateway_relay::access::{Access, AccessError, Admission, Side};

/// Timers do not run while a machine sleeps, and clocks are set: the clock is looked at this often.
const LOOK: Duration = Duration::from_mins(1);

/// The admission of a connection through the proxy, kept for as long as the connection. A cut of the token takes away
/// both of its sides, whatever the connection's own task is doing.
pub(crate) struct Pass {
    access: Arc<Access>,
    token: ApiToken,
    from: IpAddr,
    admission: Admission,
    lines: Vec<(Side, Arc<dyn Sever>)>,
}

/// How a right came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Over {
    #[error("the right to the connection was taken away")]
    Cut,
    #[error("the token has expired")]
    Expired,
}

// === impl Pass ===

impl Pass {
    pub(crate) async fn obtain(
        access: Arc<Access>,
        token: ApiToken,
        from: IpAddr,
    ) -> Result<Self, AccessError> {
        let admission = access.admit(&token, Some(from)).await?;
        Ok(Self {
            access,
            token,
            from,
            admission,
            lines: Vec::with_capacity(2),
        })
    }

    pub(crate) fn token(&self) -> &ApiToken {
        &self.token
    }

    pub(crate) fn user_id(&self) -> UserId {
        self.admission.principal().user_id
    }

    pub(crate) fn allows_models(&self) -> bool {
        self.admission.principal().scopes.allows_models()
    }

    /// Hands over one side of the connection, before anything goes over it that needs the right. A cut that came before
    /// shows in the result, one that comes later severs the side.
    pub(crate) fn attach(&mut self, side: Side, line: Arc<dyn Sever>) -> Result<(), Over> {
        self.admission.in_flight().attach(side, Arc::clone(&line));
        self.lines.push((side, line));
        if self.admission.is_cut() {
            Err(Over::Cut)
        } else {
            Ok(())
        }
    }

    /// Ready when the right is over. A session's end moves while it is used elsewhere, so at the time of expiry the token
    /// is verified again.
    pub(crate) async fn over(&mut self) -> Over {
        loop {
            tokio::select! {
                () = self.admission.cut() => return Over::Cut,
                () = self.expiry() => {}
            }
            let Ok(renewed) = self.access.admit(&self.token, Some(self.from)).await else {
                return if self.admission.is_cut() {
                    Over::Cut
                } else {
                    Over::Expired
                };
            };
            for (side, line) in &self.lines {
                renewed.in_flight().attach(*side, Arc::clone(line));
                // Otherwise the end of the old admission would take it away.
                self.admission.in_flight().detach(*side);
            }
            self.admission = renewed;
        }
    }

    async fn expiry(&self) {
        let (clock, principal) = (self.access.clock(), self.admission.principal());
        loop {
            let now = clock.now();
            if principal.is_expired(now) {
                return;
            }
            tokio::time::sleep(principal.expires_at.since(now).min(LOOK)).await;
        }
    }
}

/// Ready when the right is over; a connection that needs none has it for good.
pub(crate) async fn over(pass: &mut Option<Pass>) -> Over {
    match pass {
        Some(pass) => pass.over().await,
        None => std::future::pending().await,
    }
}
