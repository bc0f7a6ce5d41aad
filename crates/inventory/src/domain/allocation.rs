//! Which warehouses could serve an order: one by priority that can serve all of it, else the fewest
//! that can. A plan promises nothing.
//! *Invariant:* a warehouse that holds something for the order already is asked for exactly that or
//! for nothing: a reservation's name holds once.

use std::collections::{BTreeMap, HashMap};

use super::Sku;

/// Warehouse sets are tried exhaustively up to this size; above it the one that adds most is taken.
const EXHAUSTIVE: usize = 3;

/// A line of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedLine {
    /// The order line.
    pub line_id: String,
    /// Which SKU.
    pub sku: Sku,
    /// How many.
    pub units: u32,
}

/// A warehouse and what it could promise of each SKU that is wanted.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// Its code.
    pub warehouse: String,
    /// Available units.
    pub available: HashMap<Sku, u64>,
    /// What it holds for this very order already, beside what is available.
    pub held: BTreeMap<Sku, u32>,
}

/// Units of a SKU that no warehouse has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// Which SKU.
    pub sku: Sku,
    /// Units wanted, all lines together.
    pub asked: u64,
    /// Units available, all warehouses together.
    pub available: u64,
}

/// What each warehouse would serve, in the order of the candidates.
pub type Plan = Vec<(String, Vec<WantedLine>)>;

/// Plans `lines` over `candidates`, which stand in order of priority. What is held already stays
/// where it is and the rest is planned; where that does not work out, all is planned elsewhere.
///
/// # Errors
/// The gaps, when all candidates together have too few.
pub fn plan(lines: &[WantedLine], candidates: &[Candidate]) -> Result<Plan, Vec<Gap>> {
    let (holders, others): (Vec<_>, Vec<_>) =
        candidates.iter().partition(|candidate| !candidate.held.is_empty());
    let (kept, rest) = keep(lines, &holders);
    let around = plan_anew(&rest, &others).map(|rest| {
        let priority = |code: &str| candidates.iter().position(|it| it.warehouse == code);
        let mut whole: Plan = kept.iter().cloned().chain(rest).collect();
        whole.sort_by_key(|(code, _)| priority(code));
        whole
    });
    around.or_else(|_| plan_anew(lines, &others)).map_err(|_| {
        let wanted = wanted(lines);
        let everyone: Vec<_> = candidates.iter().collect();
        let everywhere = |sku: &Sku| {
            let held = holders.iter().filter_map(|it| it.held.get(sku)).copied();
            together(&everyone, sku) + held.map(u64::from).sum::<u64>()
        };
        let kept = |sku: &Sku| {
            let lines = kept.iter().flat_map(|(_, lines)| lines).filter(|line| line.sku == *sku);
            lines.map(|line| u64::from(line.units)).sum::<u64>()
        };
        let gaps = Some(gaps(&wanted, everywhere)).filter(|gaps| !gaps.is_empty());
        // Enough is there, but more of it where the name holds already: it cannot be asked for.
        gaps.unwrap_or_else(|| self::gaps(&wanted, |sku| kept(sku) + together(&others, sku)))
    })
}

/// Plans `lines` over candidates that hold nothing of them.
fn plan_anew(lines: &[WantedLine], candidates: &[&Candidate]) -> Result<Plan, Vec<Gap>> {
    let wanted = wanted(lines);
    let gaps = gaps(&wanted, |sku| together(candidates, sku));
    if !gaps.is_empty() {
        return Err(gaps);
    }
    let serves =
        |chosen: &[&Candidate]| wanted.iter().all(|(sku, asked)| together(chosen, sku) >= *asked);
    let smallest = (1..=EXHAUSTIVE.min(candidates.len()))
        .find_map(|size| first_set(candidates, size, &mut Vec::new(), &serves));
    let chosen = smallest.unwrap_or_else(|| greedy(candidates, &wanted));
    Ok(share_out(lines, &chosen))
}

/// Gives each holder its lines back, if they are still wanted; and the lines that are left.
fn keep(lines: &[WantedLine], holders: &[&Candidate]) -> (Plan, Vec<WantedLine>) {
    let (mut kept, mut rest) = (Plan::new(), lines.to_vec());
    for holder in holders {
        let available = holder.held.iter().map(|(sku, units)| (sku.clone(), u64::from(*units)));
        let own = Candidate { available: available.collect(), ..(*holder).clone() };
        let Some((warehouse, served)) = share_out(&rest, &[&own]).pop() else { continue };
        let shared = wanted(&served);
        if shared.len() != own.available.len()
            || shared.iter().any(|(sku, units)| own.available.get(*sku) != Some(units))
        {
            continue;
        }
        for line in &served {
            let same = |it: &&mut WantedLine| it.line_id == line.line_id && it.sku == line.sku;
            if let Some(left) = rest.iter_mut().filter(|it| it.units >= line.units).find(same) {
                left.units -= line.units;
            }
        }
        rest.retain(|line| line.units > 0);
        kept.push((warehouse, served));
    }
    (kept, rest)
}

fn wanted(lines: &[WantedLine]) -> BTreeMap<&Sku, u64> {
    let mut wanted: BTreeMap<&Sku, u64> = BTreeMap::new();
    for line in lines {
        *wanted.entry(&line.sku).or_default() += u64::from(line.units);
    }
    wanted
}

fn gaps(wanted: &BTreeMap<&Sku, u64>, available: impl Fn(&Sku) -> u64) -> Vec<Gap> {
    wanted
        .iter()
        .map(|(sku, asked)| (*sku, *asked, available(sku)))
        .filter(|(_, asked, available)| asked > available)
        .map(|(sku, asked, available)| Gap { sku: sku.clone(), asked, available })
        .collect()
}

fn together(candidates: &[&Candidate], sku: &Sku) -> u64 {
    candidates.iter().filter_map(|candidate| candidate.available.get(sku)).sum()
}

/// The first set of `size` warehouses, by priority, that serves everything.
fn first_set<'a>(
    candidates: &[&'a Candidate],
    size: usize,
    chosen: &mut Vec<&'a Candidate>,
    serves: &impl Fn(&[&Candidate]) -> bool,
) -> Option<Vec<&'a Candidate>> {
    if chosen.len() == size {
        return serves(chosen).then(|| chosen.clone());
    }
    let mut rest = candidates;
    while let Some((candidate, behind)) = rest.split_first() {
        chosen.push(candidate);
        let found = first_set(behind, size, chosen, serves);
        chosen.pop();
        if found.is_some() {
            return found;
        }
        rest = behind;
    }
    None
}

/// Takes the warehouse that serves most of what is still missing, until nothing is.
fn greedy<'a>(candidates: &[&'a Candidate], wanted: &BTreeMap<&Sku, u64>) -> Vec<&'a Candidate> {
    let mut missing = wanted.clone();
    let mut left: Vec<_> = candidates.iter().copied().enumerate().collect();
    let mut chosen = Vec::new();
    while missing.values().any(|units| *units > 0) && !left.is_empty() {
        let adds = |candidate: &Candidate| -> u64 {
            let has = |sku: &Sku| candidate.available.get(sku).copied().unwrap_or_default();
            missing.iter().map(|(sku, units)| (*units).min(has(sku))).sum()
        };
        let best = left
            .iter()
            .enumerate()
            .max_by_key(|(_, (nth, candidate))| (adds(candidate), std::cmp::Reverse(*nth)));
        let Some(at) = best.map(|(at, _)| at) else { break };
        let (nth, candidate) = left.remove(at);
        for (sku, units) in &mut missing {
            let has = candidate.available.get(*sku).copied().unwrap_or_default();
            *units = units.saturating_sub(has);
        }
        chosen.push((nth, candidate));
    }
    chosen.sort_by_key(|(nth, _)| *nth);
    chosen.into_iter().map(|(_, candidate)| candidate).collect()
}

/// Gives each line to the first warehouse that has all of it, and divides what no single one has.
fn share_out(lines: &[WantedLine], chosen: &[&Candidate]) -> Plan {
    let mut left: Vec<_> = chosen.iter().map(|candidate| candidate.available.clone()).collect();
    let mut plan: Plan =
        chosen.iter().map(|candidate| (candidate.warehouse.clone(), Vec::new())).collect();
    // Whole lines first: a line that must be divided takes only what they leave.
    let mut divided = Vec::new();
    for line in lines.iter().filter(|line| line.units > 0) {
        let units = u64::from(line.units);
        let whole = left.iter_mut().zip(&mut plan).find_map(|(left, served)| {
            let has = left.get_mut(&line.sku).filter(|has| **has >= units)?;
            Some((has, served))
        });
        match whole {
            Some((has, (_, served))) => {
                *has -= units;
                served.push(line.clone());
            }
            None => divided.push(line),
        }
    }
    for line in divided {
        let mut wanted = u64::from(line.units);
        for (left, (_, served)) in left.iter_mut().zip(&mut plan) {
            let Some(has) = left.get_mut(&line.sku) else { continue };
            let units = wanted.min(*has);
            if units > 0 {
                *has -= units;
                wanted -= units;
                let units = u32::try_from(units).unwrap_or(u32::MAX);
                served.push(WantedLine { units, ..line.clone() });
            }
        }
    }
    plan.retain(|(_, served)| !served.is_empty());
    plan
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(line_id: &str, sku: &str, units: u32) -> WantedLine {
        WantedLine { line_id: line_id.into(), sku: sku.into(), units }
    }

    fn candidate(warehouse: &str, stock: &[(&str, u64)]) -> Candidate {
        let available = stock.iter().map(|(sku, units)| ((*sku).into(), *units)).collect();
        Candidate { warehouse: warehouse.into(), available, held: BTreeMap::new() }
    }

    fn holder(warehouse: &str, stock: &[(&str, u64)], held: &[(&str, u32)]) -> Candidate {
        let held = held.iter().map(|(sku, units)| ((*sku).into(), *units)).collect();
        Candidate { held, ..candidate(warehouse, stock) }
    }

    #[test]
    fn the_first_warehouse_that_has_all_serves_all() {
        let lines = [line("1", "MUG", 2), line("2", "CUP", 1)];
        let candidates = [
            candidate("NEAR", &[("MUG", 9)]),
            candidate("MAIN", &[("MUG", 2), ("CUP", 1)]),
            candidate("FAR", &[("MUG", 9), ("CUP", 9)]),
        ];
        assert_eq!(plan(&lines, &candidates), Ok(vec![("MAIN".into(), lines.to_vec())]));
    }

    #[test]
    fn the_fewest_warehouses_serve_what_no_single_one_has() {
        let lines = [line("1", "MUG", 2), line("2", "CUP", 1), line("3", "PAN", 1)];
        let candidates = [
            candidate("A", &[("MUG", 2)]),
            candidate("B", &[("CUP", 1)]),
            candidate("C", &[("PAN", 1), ("CUP", 1)]),
        ];
        let served = plan(&lines, &candidates).unwrap();
        let [mug, cup, pan] = lines;
        assert_eq!(served, [("A".into(), vec![mug]), ("C".into(), vec![cup, pan])]);
    }

    #[test]
    fn a_line_is_divided_only_when_nobody_has_all_of_it() {
        let lines = [line("1", "MUG", 5), line("2", "MUG", 2)];
        let candidates = [candidate("A", &[("MUG", 4)]), candidate("B", &[("MUG", 3)])];
        let served = plan(&lines, &candidates).unwrap();
        assert_eq!(
            served,
            [
                ("A".into(), vec![line("2", "MUG", 2), line("1", "MUG", 2)]),
                ("B".into(), vec![line("1", "MUG", 3)]),
            ]
        );
    }

    #[test]
    fn gaps_count_all_lines_and_all_warehouses() {
        let lines = [line("1", "MUG", 5), line("2", "MUG", 3), line("3", "CUP", 1)];
        let candidates = [candidate("A", &[("MUG", 4), ("CUP", 1)]), candidate("B", &[("MUG", 3)])];
        let gap = Gap { sku: "MUG".into(), asked: 8, available: 7 };
        assert_eq!(plan(&lines, &candidates), Err(vec![gap]));
        assert_eq!(plan(&lines, &[]).unwrap_err().len(), 2);
    }

    #[test]
    fn many_warehouses_are_joined_until_all_is_served() {
        let candidates: Vec<_> =
            (0..12).map(|nth| candidate(&format!("W{nth:02}"), &[("MUG", 1)])).collect();
        let served = plan(&[line("1", "MUG", 9)], &candidates).unwrap();
        assert_eq!(served.len(), 9);
        assert_eq!(served.first().map(|(warehouse, _)| warehouse.as_str()), Some("W00"));
    }

    #[test]
    fn what_is_held_already_stays_where_it_is() {
        let lines = [line("1", "MUG", 5)];
        let candidates = [
            candidate("W1", &[("MUG", 3)]),
            holder("W2", &[("MUG", 4)], &[("MUG", 5)]),
            candidate("W3", &[("MUG", 9)]),
        ];
        assert_eq!(plan(&lines, &candidates), Ok(vec![("W2".into(), lines.to_vec())]));
        let exactly = [holder("W2", &[("MUG", 0)], &[("MUG", 5)])];
        assert_eq!(plan(&lines, &exactly), Ok(vec![("W2".into(), lines.to_vec())]));
    }

    #[test]
    fn the_rest_of_what_is_held_already_is_planned_around_it() {
        let lines = [line("1", "MUG", 5), line("2", "CUP", 1)];
        let candidates = [
            candidate("W1", &[("MUG", 3), ("CUP", 2)]),
            holder("W2", &[("MUG", 9), ("CUP", 9)], &[("MUG", 3)]),
        ];
        let served = plan(&lines, &candidates).unwrap();
        let first = ("W1".into(), vec![line("1", "MUG", 2), line("2", "CUP", 1)]);
        assert_eq!(served, [first, ("W2".into(), vec![line("1", "MUG", 3)])]);
    }

    #[test]
    fn what_is_held_in_the_way_is_planned_elsewhere() {
        let lines = [line("1", "MUG", 2), line("2", "CUP", 1)];
        let stuck = holder("W1", &[("CUP", 9)], &[("MUG", 2)]);
        let other_lines = holder("W2", &[("MUG", 2), ("CUP", 9)], &[("CUP", 4)]);
        let free = candidate("W3", &[("MUG", 2), ("CUP", 0)]);
        let gap = Gap { sku: "CUP".into(), asked: 1, available: 0 };
        assert_eq!(plan(&lines, &[stuck.clone(), free.clone()]), Err(vec![gap]));
        let enough = candidate("W4", &[("MUG", 2), ("CUP", 1)]);
        let served = plan(&lines, &[other_lines, free, enough]);
        assert_eq!(served, Ok(vec![("W4".into(), lines.to_vec())]));
        let too_many = [line("1", "MUG", 9)];
        let gap = Gap { sku: "MUG".into(), asked: 9, available: 2 };
        assert_eq!(plan(&too_many, &[stuck]), Err(vec![gap]));
    }
}
