//! The long-running parts of this process: one supervisor runs all of them, and readiness shows their states.

use std::collections::BTreeMap;

use event_store::supervision::{self, Ended, Pulse, Standing, Supervisor};

use super::Stage;
use crate::service::health::{Health, Part, State};

impl Stage {
    /// Keeps a part running until this stage stops.
    pub(super) fn keep<F>(
        &self,
        supervisor: &Supervisor,
        name: &'static str,
        part: impl FnMut(Pulse) -> F + Send + 'static,
    ) where
        F: Future<Output = Result<(), Ended>> + Send + 'static,
    {
        let (supervisor, token) = (supervisor.clone(), self.token.clone());
        self.spawn(async move { supervisor.keep(name, &token, part).await });
    }
}

/// Shows how the parts are: those of one kind together, and in the detail those of them that do not do their work.
pub(super) fn show(supervisor: &Supervisor, health: &Health) {
    let supervisor = supervisor.clone();
    health.add(move || {
        let mut kinds: BTreeMap<String, Vec<Standing>> = BTreeMap::new();
        for standing in supervisor.standings() {
            let kind = standing.name.split('/').next().unwrap_or_default().to_owned();
            kinds.entry(kind).or_default().push(standing);
        }
        kinds.into_iter().map(|(kind, standings)| part(kind, &standings)).collect()
    });
}

fn part(name: String, standings: &[Standing]) -> Part {
    // The part that assigns partitions does not work on them: what counts is whether any partition works.
    let dealt = standings.iter().any(|standing| standing.name != name);
    let mut workers = standings.iter().filter(|standing| !dealt || standing.name != name);
    let detail = troubles(standings);
    if detail.is_empty() {
        return Part::runs(name);
    }
    let some = workers.any(|standing| trouble(standing).is_none());
    let state = if some { State::Degraded } else { State::Failed };
    Part::new(name, state, detail)
}

/// Each trouble once, with the partitions that have it.
fn troubles(standings: &[Standing]) -> String {
    let partition = |standing: &Standing| standing.name.split_once('/').map(|(_, which)| which.to_owned());
    let several = standings.iter().filter_map(partition).count() > 1;
    let mut told: Vec<(String, Vec<String>)> = Vec::new();
    for standing in standings {
        let Some(trouble) = trouble(standing) else { continue };
        match partition(standing).filter(|_| several) {
            None => told.push((trouble, Vec::new())),
            Some(which) => match told.iter_mut().find(|(known, with)| *known == trouble && !with.is_empty()) {
                Some((_, partitions)) => partitions.push(which),
                None => told.push((trouble, vec![which])),
            },
        }
    }
    for (_, partitions) in &mut told {
        partitions.sort_by_key(|which| (which.len(), which.clone()));
    }
    let told = told.into_iter().map(|(trouble, partitions)| match partitions.as_slice() {
        [] => trouble,
        [one] => format!("partition {one} is {trouble}"),
        many => format!("partitions {} are {trouble}", many.join(", ")),
    });
    told.collect::<Vec<_>>().join("; ")
}

fn trouble(standing: &Standing) -> Option<String> {
    let (what, why) = match &standing.health {
        supervision::Health::Running => return None,
        supervision::Health::Waiting(why) => ("waiting", why),
        supervision::Health::Restarting(why) => ("restarting", why),
        supervision::Health::GivenUp(why) => ("given up, the process ends", why),
    };
    Some(format!("{what}: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    use supervision::Health;

    fn standing(name: &str, health: Health) -> Standing {
        Standing { name: name.into(), health, restarts: 0 }
    }

    #[test]
    fn the_partitions_of_a_part_are_shown_as_one_with_those_that_do_not_work() {
        let well = part("sagas".into(), &[standing("sagas", Health::Running), standing("sagas/3", Health::Running)]);
        assert_eq!((well.state, &*well.detail), (State::Ready, ""));
        let full = || Health::Restarting("the disk is full".into());
        let ill = part("sagas".into(), &[standing("sagas", Health::Running), standing("sagas/3", full())]);
        assert_eq!((ill.state, &*ill.detail), (State::Failed, "restarting: the disk is full"), "no partition works");
        let some =
            [standing("sagas", Health::Running), standing("sagas/3", full()), standing("sagas/4", Health::Running)];
        assert_eq!(part("sagas".into(), &some).state, State::Degraded);
        let alone = part("sagas".into(), &[standing("sagas", full()), standing("sagas/4", Health::Running)]);
        assert_eq!(alone.state, State::Degraded, "the partitions work without their dealer");
        let many = [
            standing("sagas/10", full()),
            standing("sagas/2", full()),
            standing("sagas/3", Health::Waiting("no answer in time".into())),
        ];
        let told = part("sagas".into(), &many).detail;
        assert_eq!(
            told, "partitions 2, 10 are restarting: the disk is full; partition 3 is waiting: no answer in time",
            "each reason stands there once"
        );
        let both = [standing("sagas", full()), standing("sagas/2", full()), standing("sagas/3", full())];
        let told = part("sagas".into(), &both).detail;
        assert_eq!(told, "restarting: the disk is full; partitions 2, 3 are restarting: the disk is full");
        let none = part("relay".into(), &[standing("relay", full())]);
        assert_eq!((none.state, none.ready), (State::Failed, false));
    }
}
