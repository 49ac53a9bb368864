//! Attachments: which nodes may use a volume, kept in its record.

use super::Engine;
use super::apart::Operation;
use crate::record::{Claim, VolumeRecord};
use crate::settings::Settings;
use crate::{Error, Kind, Name, Result};

impl Engine {
    /// Claims the volume for a node, or finds that it is claimed like that already.
    ///
    /// `Conflict` when the node has it otherwise, `InUse` when another node has it and not all of them
    /// are readers; the message names that node.
    pub fn claim(&self, pool: &Name, name: &Name, claim: &Claim) -> Result<VolumeRecord> {
        let pool = self.open(pool)?;
        if let Some(apart) = self.apart(&pool) {
            return apart.ask(Operation::Claim { name: name.clone(), claim: claim.clone() });
        }
        let _lock = self.lock_volume(&pool, name)?;
        let mut record = self.present(&pool, name)?;
        if let Some(own) = record.claims.iter().find(|own| own.node == claim.node) {
            return match own == claim {
                true => Ok(record),
                false => Err(Error::new(
                    Kind::Conflict,
                    format!("volume `{name}` is attached to node `{}` differently", claim.node),
                )
                .hint("detach it there first; its access mode or read-only differs")),
            };
        }
        if let Some(other) = record.claims.iter().find(|other| !(other.readonly && claim.readonly))
        {
            return Err(Error::new(
                Kind::InUse,
                format!("volume `{name}` is attached to node `{}`", other.node),
            )
            .hint(
                "detach it there first; `becket volume release` takes back the claim of a node that \
                 is gone",
            ));
        }
        record.claims.push(claim.clone());
        self.backend(&pool)?.catalog().save(&pool, &record)?;
        Ok(record)
    }

    /// Takes a node's claim back, or, without a node, every claim. A volume that is not there, or not
    /// claimed, is released already, and the answer is false.
    pub fn release_claim(&self, pool: &Name, name: &Name, node: Option<&str>) -> Result<bool> {
        let pool = self.open(pool)?;
        if let Some(apart) = self.apart(&pool) {
            return apart.ask(Operation::ReleaseClaim {
                name: name.clone(),
                node: node.map(str::to_owned),
            });
        }
        let _lock = self.lock_volume(&pool, name)?;
        let catalog = self.backend(&pool)?.catalog();
        let Some(mut record) = catalog.volume(&pool, name)?.found() else {
            return Ok(false);
        };
        let before = record.claims.len();
        record.claims.retain(|claim| node.is_some_and(|node| claim.node != node));
        if record.claims.len() == before {
            return Ok(false);
        }
        catalog.save(&pool, &record).map(|()| true)
    }

    /// Changes what `read`, given the volume, says of its settings; all of it or nothing.
    pub fn modify(
        &self,
        pool: &Name,
        name: &Name,
        read: impl FnOnce(&VolumeRecord) -> Result<Settings>,
    ) -> Result<VolumeRecord> {
        let pool = self.open(pool)?;
        if let Some(apart) = self.apart(&pool) {
            // What is read depends on nothing that can change in the volume's life.
            let record: VolumeRecord = apart.ask(Operation::Volume(name.clone()))?;
            let settings = read(&record)?;
            return apart.ask(Operation::Modify { name: name.clone(), settings });
        }
        let _lock = self.lock_volume(&pool, name)?;
        let mut record = self.present(&pool, name)?;
        let changed = record.settings.clone().with(read(&record)?);
        if changed != record.settings {
            record.settings = changed;
            self.backend(&pool)?.catalog().save(&pool, &record)?;
        }
        Ok(record)
    }
}
