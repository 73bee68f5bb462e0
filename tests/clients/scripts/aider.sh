# aider: one message; it asks with a stream.
set -e
aider --model openai/moa --openai-api-base $URL --openai-api-key unused --no-git --yes-always --no-check-update --no-show-model-warnings --analytics-disable --no-pretty --message "How is it in Oslo?" > said.txt 2>&1 || { cat said.txt; exit 1; }
grep -q "the reply, in seven words or so" said.txt || { cat said.txt; exit 1; }
