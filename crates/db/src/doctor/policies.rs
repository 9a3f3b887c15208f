//! What the policies say.

use super::{Check, Severity};

pub(super) const CHECKS: &[Check] = &[LAX, WRAPPED, FOREIGN_TO_SYSTEM];

/// The permissive policies of tenant tables, with the form of what they say, as `policy`. The condition is compared as the
/// server prints it; one that says more with AND is as good.
const POLICIES: &str = r#",
        policy as (
            select t.name, t.oid, p.polname, p.polcmd, p.polroles, form.is_plain, form.is_true, form.is_wrapped
              from tenant_table t
              join pg_policy p on p.polrelid = t.oid and p.polpermissive
              cross join lateral (
                   select bool_and(said = plain or starts_with(said, '(' || plain || ' AND ') or said = 'false') as is_plain,
                          bool_and(said in ('true', 'false')) as is_true,
                          bool_and(regexp_replace(said, '\( SELECT (.*) AS "?\w+"?\)\)$', '\1)') = plain) as is_wrapped
                     from unnest(array[pg_get_expr(p.polqual, t.oid), pg_get_expr(p.polwithcheck, t.oid)]) as said,
                          (values ('(tenant_id = (NULLIF(current_setting(''app.tenant_id''::text, true), ''''::text))::uuid)')) as form (plain)
                    where said is not null) form)"#;

const LAX: Check = Check {
    severity: Severity::Alarm,
    why: "permissive policies add up: one that says more opens the table, whatever the others say",
    with: POLICIES,
    sql: "
        select name, format('has the policy %I, which is not the tenant''s', polname), format('drop policy %I on %s;', polname, name)
          from policy
         where not coalesce(is_plain, true) and not coalesce(is_wrapped, true)
           and not (is_true and (polroles <@ array['{across}'::regrole::oid, '{system}'::regrole::oid]
                                 or (polcmd = 'r' and polroles <@ array['{definer}'::regrole::oid])))",
};

const WRAPPED: Check = Check {
    severity: Severity::Warning,
    why: "a sub-select hides the tenant from the planner, which then plans the small tenants' searches for the large ones' sizes",
    with: POLICIES,
    sql: "
        select name, format('has the policy %I with its condition in a sub-select', polname),
               format('drop policy %I on %s; select shared_db.tenant_table(%L);', polname, name, name)
          from policy where is_wrapped and not is_plain and not is_true",
};

const FOREIGN_TO_SYSTEM: Check = Check {
    severity: Severity::Warning,
    why: "the system role serves the family's own tables, unaudited; for business rows there is `across_tenants`",
    with: POLICIES,
    sql: "
        select name, format('shows the rows of all tenants to the system role, by the policy %I', polname), format('drop policy %I on %s;', polname, name)
          from policy
         where is_true and '{system}'::regrole::oid = any (polroles) and name !~ '^shared_'",
};
