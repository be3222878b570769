/// \file SentencePiece's trainer as a module of its own. It is opened only where a vocabulary is learnt, and bound to
/// its own symbols first: SentencePiece's FLAGS_minloglevel, an object of 32 bytes, would otherwise be written over the
/// variables of libc10 that begin with its flag of the same name.
#include <sentencepiece_trainer.h>

#include <string>
#include <unordered_map>
#include <vector>

namespace {

/// Texts as SentencePiece's trainer walks through them.
class Texts final : public sentencepiece::SentenceIterator {
 public:
  explicit Texts(const std::vector<std::string>& texts) : texts_(texts) {}
  bool done() const override { return at_ == texts_.size(); }
  void Next() override { ++at_; }
  const std::string& value() const override { return texts_[at_]; }
  sentencepiece::util::Status status() const override { return {}; }

 private:
  const std::vector<std::string>& texts_;
  std::size_t at_ = 0;
};

}  // namespace

/// Learns a vocabulary into `model`, a serialised SentencePiece model.
/// \param error what went wrong; left as it is where nothing did
extern "C" void mneme_learn_vocabulary(const std::unordered_map<std::string, std::string>& settings,
                                       const std::vector<std::string>& texts, std::string& model, std::string& error) {
  Texts walk(texts);
  const auto status = sentencepiece::SentencePieceTrainer::Train(settings, &walk, &model);
  if (!status.ok()) error = status.ToString();
}
