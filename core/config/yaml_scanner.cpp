#include "core/config/yaml_scanner.h"

#include "core/config/yaml_scanner_state.h"

namespace mneme::config {

namespace yaml {

void Scanner::fetch() {
  to_next_token();
  drop_stale_keys();
  unwind(column());
  const char32_t c = peek();
  const bool in_flow = flow_level() > 0;
  if (c == 0) return stream_end();
  if (column() == 0) {
    if (c == '%') return directive();
    if (at_document_mark("---")) return document_mark(Type::kDocumentStart);
    if (at_document_mark("...")) return document_mark(Type::kDocumentEnd);
  }
  if (c == '[') return flow_start(Type::kFlowListStart);
  if (c == '{') return flow_start(Type::kFlowMapStart);
  if (c == ']') return flow_end(Type::kFlowListEnd);
  if (c == '}') return flow_end(Type::kFlowMapEnd);
  if (c == ',') return flow_entry();
  if (c == '-' && is_blank_or_end(peek(1))) return block_entry();
  if (c == '?' && (in_flow || is_blank_or_end(peek(1)))) return key_mark();
  if (c == ':' && (in_flow || is_blank_or_end(peek(1)))) return value_mark();
  if (c == '*') return anchor(Type::kAlias);
  if (c == '&') return anchor(Type::kAnchor);
  if (c == '!') return tag();
  if ((c == '|' || c == '>') && !in_flow) return block_scalar(c == '>');
  if (c == '\'' || c == '"') return quoted_scalar(c);
  if (starts_plain(c)) return plain_scalar();
  if (c == '\t') fail("a tab stands between tokens; YAML wants blanks");
  fail(fmt::format("{} cannot start a value; quote the text", shown(c)));
}

bool Scanner::starts_plain(char32_t c) const {
  if (!is_blank_or_end(c) && !is_one_of(c, "-?:,[]{}#&*!|>'\"%@`")) return true;
  return !is_blank_or_end(peek(1)) && (c == '-' || (flow_level() == 0 && (c == '?' || c == ':')));
}

void Scanner::stream_end() {
  unwind(-1);
  drop_key();
  add(Type::kStreamEnd);
  done_ = true;
}

void Scanner::document_mark(Type type) {
  unwind(-1);
  drop_key();
  simple_key_allowed_ = false;
  add(type);
  forward(3);
}

void Scanner::flow_start(Type type) {
  save_key();
  add(type);
  keys_.emplace_back();
  if (flow_level() > kMostFlowLevels) fail(fmt::format("more than {} levels of nesting", kMostFlowLevels));
  simple_key_allowed_ = true;
  forward();
}

void Scanner::flow_end(Type type) {
  drop_key();
  if (flow_level() == 0) fail(fmt::format("{} closes nothing", shown(peek())));
  keys_.pop_back();
  simple_key_allowed_ = false;
  add(type);
  forward();
}

void Scanner::flow_entry() {
  simple_key_allowed_ = true;
  drop_key();
  add(Type::kFlowEntry);
  forward();
}

void Scanner::block_entry() {
  if (flow_level() == 0) {
    if (!simple_key_allowed_) fail("'- ' cannot stand here; begin the list on its own line");
    if (deepen(column())) add(Type::kBlockListStart);
  }
  simple_key_allowed_ = true;
  drop_key();
  add(Type::kEntry);
  forward();
}

void Scanner::key_mark() {
  if (flow_level() == 0) {
    if (!simple_key_allowed_) fail("'? ' cannot stand here");
    if (deepen(column())) add(Type::kBlockMapStart);
  }
  simple_key_allowed_ = flow_level() == 0;
  drop_key();
  add(Type::kKey);
  forward();
}

void Scanner::value_mark() {
  if (keys_.back()) {
    const SimpleKey key = *keys_.back();
    keys_.back().reset();
    const auto place = tokens_.begin() + static_cast<std::ptrdiff_t>(key.token);
    const auto inserted = tokens_.insert(place, YamlToken{Type::kKey, "", "", false, key.mark});
    if (flow_level() == 0 && deepen(key.mark.column - 1))
      tokens_.insert(inserted, YamlToken{Type::kBlockMapStart, "", "", false, key.mark});
    simple_key_allowed_ = false;
  } else {
    if (flow_level() == 0) {
      if (!simple_key_allowed_) fail("': ' cannot stand here: a value on this line has a key already; quote the text");
      if (deepen(column())) add(Type::kBlockMapStart);
    }
    simple_key_allowed_ = flow_level() == 0;
    drop_key();
  }
  add(Type::kValue);
  forward();
}

void Scanner::anchor(Type type) {
  save_key();
  simple_key_allowed_ = false;
  YamlToken& token = add(type);
  forward();
  while (is_name(peek())) append(token.text, 1);
  if (token.text.empty()) fail(fmt::format("a name is missing behind '{}'", type == Type::kAlias ? '*' : '&'));
  if (!is_blank_or_end(peek()) && !is_one_of(peek(), "?:,]}%@`"))
    fail(fmt::format("{} cannot stand in the name of an anchor", shown(peek())));
}

void Scanner::directive() {
  unwind(-1);
  drop_key();
  simple_key_allowed_ = false;
  YamlToken token{Type::kDirective, "", "", false, mark_};
  forward();
  while (is_name(peek())) append(token.text, 1);
  if (token.text.empty() || !is_space_or_end(peek())) fail("a directive is '%NAME values'");
  skip_spaces();
  if (token.text == "TAG") {
    token.handle = tag_handle();
    if (peek() != ' ') fail("a tag directive is '%TAG !handle! prefix'");
    skip_spaces();
    token.handle += " " + tag_uri();
  } else if (token.text == "YAML") {
    while (is_one_of(peek(), "0123456789.")) append(token.handle, 1);
  } else {
    while (!is_break_or_end(peek())) forward();
  }
  if (!is_space_or_end(peek())) fail(fmt::format("unexpected {} in a directive", shown(peek())));
  skip_spaces();
  skip_comment();
  if (!is_break_or_end(peek())) fail(fmt::format("unexpected {} in a directive", shown(peek())));
  line_break();
  tokens_.push_back(std::move(token));
}

std::string Scanner::tag_handle() {
  std::string handle;
  if (peek() != '!') fail(fmt::format("'!' is missing in a tag, found {}", shown(peek())));
  append(handle, 1);
  if (peek() == ' ') return handle;
  while (is_name(peek())) append(handle, 1);
  if (peek() != '!') fail(fmt::format("'!' is missing in a tag, found {}", shown(peek())));
  append(handle, 1);
  return handle;
}

std::string Scanner::tag_uri() {
  std::string uri;
  while (is_name(peek()) || is_one_of(peek(), ";/?:@&=+$,.!~*'()[]%")) append(uri, 1);
  if (uri.empty()) fail(fmt::format("a tag has no name, found {}", shown(peek())));
  return uri;
}

void Scanner::tag() {
  save_key();
  simple_key_allowed_ = false;
  YamlToken token{Type::kTag, "", "", false, mark_};
  if (peek(1) == '<') {
    forward(2);
    token.text = tag_uri();
    if (peek() != '>') fail("'>' is missing behind a tag");
    forward();
  } else if (is_blank_or_end(peek(1))) {
    token.text = "!";
    forward();
  } else {
    std::size_t ahead = 1;
    while (!is_space_or_end(peek(ahead)) && peek(ahead) != '!') ++ahead;
    if (peek(ahead) == '!') {
      token.handle = tag_handle();
    } else {
      token.handle = "!";
      forward();
    }
    token.text = tag_uri();
  }
  if (!is_space_or_end(peek())) fail(fmt::format("a blank is missing behind a tag, found {}", shown(peek())));
  tokens_.push_back(std::move(token));
}

// The chomping sign (0 if none) and the indentation (0 if none) behind '|' or '>'.
}  // namespace yaml

std::vector<YamlToken> scan_yaml(std::string_view text, const std::string& name) {
  return yaml::Scanner(text, name).run();
}

}  // namespace mneme::config
