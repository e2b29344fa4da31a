# Promises: nothing in the tree is left to be done, names somebody's machine, or says where packages come from.
set -u
cd "${SOURCE:?}" || exit 1
git rev-parse --is-inside-work-tree >/dev/null 2>&1 || {
        echo 'skipped: no git tree' >&2
        exit 77
}
fails=0

# none WHAT REGEX: no tracked file but this has a line that matches.
none()
{
        local found

        found=$(git grep -nIE "$2" -- . ':!tests/style/no_leftovers.sh')
        [ -z "$found" ] && return
        printf 'FAIL: %s:\n%s\n' "$1" "$found" >&2
        fails=1
}

none 'left to be done' '(^|[^A-Za-z])(TODO|FIXME|XXX|HACK)([^A-Za-z]|$)'
none 'a conflict' '^(<<<<<<<|>>>>>>>)( |$)'
none "somebody's paths" '(^|[^A-Za-z0-9_.:-])/(home|work|root|Users|workspace|mnt|opt|srv)/'
none 'a host that packages come from' '(deb\.debian\.org|security\.debian\.org|archive\.ubuntu\.com|pypi\.|pythonhosted|npmjs|crates\.io|artifactory|nexus|jfrog|docker\.io|ghcr\.io|quay\.io|proxy\.golang|\.internal([^a-z]|$)|registry\.)'
none 'white space at the end of a line' '[[:space:]]+$'
none 'a secret' '(BEGIN [A-Z ]*PRIVATE KEY|[Pp]assword=)'
none 'switched-off code' '^#[[:space:]]*if 0'

# No built or edited-over file is tracked.
git ls-files | grep -E '(\.(o|a|so|orig|rej|swp|pyc)|~)$' >&2 && fails=1
git ls-files | grep -E '^build/' >&2 && fails=1
exit $fails
