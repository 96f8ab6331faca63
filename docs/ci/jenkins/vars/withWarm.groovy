// For agents with warmd: withWarm(programs: 'matlab', template: 'matlab', strict: false) { sh 'matlab -batch "..."' }
// Every option may be left out. Values reach the shell as variables: pasted into a script they would be part of it.
def call(Map options = [:], Closure body) {
    List<String> settings = [
        "WARM_STEP=${options.script ?: '/usr/share/warmd/ci/warm-step'}",
        "WARM_PROGRAMS=${options.programs ?: 'matlab'}",
        "WARM_TEMPLATE=${options.template ?: ''}",
        "WARM_STRICT=${options.strict ? 'true' : 'false'}",
        'WARM_DIR=',
    ]
    String folder = ''
    withEnv(settings) {
        folder = sh(label: 'warmd: put the shims first on PATH', returnStdout: true, script: '"$WARM_STEP" prepare jenkins').trim()
    }
    List<String> environment = ["PATH+WARMD=${folder}/shims", "WARMD_RUN_LOG=${folder}/run.jsonl"]
    if (options.strict) {
        environment.add('WARMD_SHIM=strict')
    }
    try {
        withEnv(environment) {
            body()
        }
    } finally {
        withEnv(settings + ["WARM_DIR=${folder}"]) {
            sh(label: 'warmd: summary', script: '"$WARM_STEP" summary jenkins')
        }
    }
}
