# inspect_ai: an evaluation of one sample, once with chat completions and once with the Responses API.
set -e
cat > task.py <<'TASK'
from inspect_ai import Task, task
from inspect_ai.dataset import Sample
from inspect_ai.scorer import includes
from inspect_ai.solver import generate


@task
def weather():
    return Task(dataset=[Sample("How is it in Oslo?", target="reply")], solver=generate(), scorer=includes())
TASK
export OPENAI_API_KEY=unused
inspect eval task.py --model openai/moa --model-base-url $URL --display plain --log-format json --log-dir chat -M responses_api=false
inspect eval task.py --model openai/moa --model-base-url $URL --display plain --log-format json --log-dir responses -M responses_api=true
for log in chat/*.json responses/*.json; do
    python -c 'import json,sys; log = json.load(open(sys.argv[1])); assert log["status"] == "success", log.get("error"); assert log["results"]["scores"][0]["metrics"]["accuracy"]["value"] == 1' $log
done
