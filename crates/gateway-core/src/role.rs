//! Roles and what each may do, as one table.

use std::fmt;
use std::str::FromStr;

/// A role that can be given to a user. Everybody is a member; `member` is never stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    Owner,
    UserAdmin,
    Auditor,
    Member,
}

/// The roles of a user, in a fixed order, each once, `member` left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Roles(Vec<Role>);

/// A right that is not about oneself. What everyone may do to their own account and tokens needs none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Permission {
    /// See every user and who has which role.
    ReadUsers,
    /// Create users and service accounts; delete, suspend, activate and reset those who hold no role.
    ManageUsers,
    /// Do all that to holders of roles too, and give or take roles.
    ManageRoles,
    /// See the tokens of others, without their secrets.
    ReadTokens,
    /// Make and remove tokens for others.
    ManageTokens,
    /// Read what was recorded about others, and the audit log.
    ReadRecords,
}

/// A text that names no role.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown role {name:?}; roles are owner, user-admin, auditor and member")]
pub struct UnknownRole {
    pub name: String,
}

// === impl Role ===

impl Role {
    pub const ALL: [Self; 4] = [Self::Owner, Self::UserAdmin, Self::Auditor, Self::Member];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::UserAdmin => "user-admin",
            Self::Auditor => "auditor",
            Self::Member => "member",
        }
    }

    /// For people.
    pub const fn display_name(self) -> &'static str {
        match self {
            Self::Owner => "Owner",
            Self::UserAdmin => "User Admin",
            Self::Auditor => "Auditor",
            Self::Member => "Member",
        }
    }

    const fn permissions(self) -> &'static [Permission] {
        use Permission::{ManageRoles, ManageTokens, ManageUsers, ReadRecords, ReadTokens, ReadUsers};
        match self {
            Self::Owner => &[
                ReadUsers,
                ManageUsers,
                ManageRoles,
                ReadTokens,
                ManageTokens,
                ReadRecords,
            ],
            Self::UserAdmin => &[ReadUsers, ManageUsers],
            Self::Auditor => &[ReadUsers, ReadTokens, ReadRecords],
            Self::Member => &[],
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, UnknownRole> {
        Self::ALL
            .into_iter()
            .find(|role| role.as_str() == text)
            .ok_or_else(|| UnknownRole {
                name: text.chars().take(64).collect(),
            })
    }
}

// === impl Roles ===

impl Roles {
    pub fn new(roles: impl IntoIterator<Item = Role>) -> Self {
        let mut list: Vec<Role> = roles.into_iter().filter(|role| *role != Role::Member).collect();
        list.sort_unstable();
        list.dedup();
        Self(list)
    }

    pub fn iter(&self) -> impl Iterator<Item = Role> + '_ {
        self.0.iter().copied()
    }

    /// Holds no role beyond that of a member.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn is_owner(&self) -> bool {
        self.0.contains(&Role::Owner)
    }

    pub fn allow(&self, permission: Permission) -> bool {
        self.0.iter().any(|role| role.permissions().contains(&permission))
    }
}

impl fmt::Display for Roles {
    /// The names with commas, as the store keeps them; empty for a plain member.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, role) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            f.write_str(role.as_str())?;
        }
        Ok(())
    }
}

impl FromStr for Roles {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, UnknownRole> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        text.split(',')
            .map(str::parse)
            .collect::<Result<Vec<_>, _>>()
            .map(Self::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_rights() {
        use Permission::{ManageRoles, ManageTokens, ManageUsers, ReadRecords, ReadTokens, ReadUsers};
        let all = [
            ReadUsers,
            ManageUsers,
            ManageRoles,
            ReadTokens,
            ManageTokens,
            ReadRecords,
        ];
        let allowed = |role: Role| all.map(|permission| Roles::new([role]).allow(permission));
        assert_eq!(allowed(Role::Owner), [true; 6]);
        assert_eq!(allowed(Role::UserAdmin), [true, true, false, false, false, false]);
        assert_eq!(allowed(Role::Auditor), [true, false, false, true, false, true]);
        assert_eq!(allowed(Role::Member), [false; 6]);
    }

    #[test]
    fn lists_round_trip_without_member() {
        let roles: Roles = "auditor,owner,member,owner".parse().unwrap();
        assert_eq!(roles.to_string(), "owner,auditor");
        assert_eq!(roles.to_string().parse(), Ok(roles));
        assert_eq!("".parse(), Ok(Roles::default()));
        assert!("admin".parse::<Roles>().is_err());
    }
}
