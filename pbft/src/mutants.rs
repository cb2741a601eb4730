//! Plans broken on purpose: see [`bft_core::mutants`].

use crate::rules::Plan;
use bft_core::mutants::Mutant;

/// The plan itself, unless a mutant is on that breaks plans.
pub(crate) fn mutate(mut plan: Plan) -> Plan {
    if Mutant::PlanForgotten.is_on() {
        plan.blocks.clear();
    }
    if Mutant::PlanOfNulls.is_on() {
        plan.blocks.values_mut().for_each(|block| *block = None);
    }
    if Mutant::PlanStopsAtHoles.is_on() {
        let hole = plan.blocks.iter().find(|(_, block)| block.is_none()).map(|(height, _)| *height);
        plan.blocks.retain(|height, _| hole.is_none_or(|hole| *height < hole));
    }
    plan
}
