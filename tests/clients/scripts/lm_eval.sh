# lm-evaluation-harness: a task of its own with one question; it needs no log probabilities.
set -e
echo '{"question": "How is it in Oslo?", "answer": "the reply, in seven words or so"}' > data.jsonl
cat > weather.yaml <<'TASK'
task: weather
dataset_path: json
dataset_kwargs:
  data_files: {test: data.jsonl}
output_type: generate_until
test_split: test
doc_to_text: "{{question}}"
doc_to_target: "{{answer}}"
metric_list: [{metric: exact_match}]
TASK
export OPENAI_API_KEY=unused
lm_eval --model local-chat-completions --model_args model=moa,base_url=$URL/chat/completions --apply_chat_template --tasks weather --include_path . --output_path out --log_samples
python -c 'import glob,json; [name] = glob.glob("out/**/results*.json", recursive=True); assert json.load(open(name))["results"]["weather"]["exact_match,none"] == 1'
