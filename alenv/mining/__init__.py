"""Mining images of one class: pools of frozen embeddings, and what their images hold."""
