# Opens every value of every row of the table users (vectors/rails) with the Ruby gems, and prints them as JSON.
# usage: KMS_KEY_ID=… LOCKBOX_MASTER_KEY=… ruby users.rb DATABASE; for vault/… also VAULT_ADDR and VAULT_TOKEN
require "active_record"
require "sqlite3"
require "lockbox"
require "attr_encrypted"
require "blind_index"
require "kms_encrypted"
require "digest"
require "json"
require "vault" if ENV["KMS_KEY_ID"].to_s.start_with?("vault/")

ActiveRecord::Base.establish_connection(adapter: "sqlite3", database: ARGV.fetch(0))

class User < ActiveRecord::Base
  earlier = {1 => {key_id: KmsEncrypted.key_id}}
  has_kms_key version: 2, previous_versions: earlier
  has_kms_key name: :phone, version: 2, previous_versions: earlier
  has_kms_key name: :street, version: 2, previous_versions: earlier

  has_encrypted :email, key: :kms_key
  has_encrypted :date_of_birth, type: :date, key: :kms_key
  has_encrypted :balance, type: :integer, key: :kms_key
  has_encrypted :notes, key: :kms_key, padding: 16, associated_data: "users.notes"
  has_encrypted :phone, key: :kms_key_phone
  has_encrypted :street, key: :kms_key_street
  attr_encrypted :ssn, key: :kms_key
  blind_index :email, expression: ->(v) { v&.downcase }

  def kms_encryption_context_phone
    {purpose: "phone", name: name}
  end

  def kms_encryption_context_street(version:)
    version == 1 ? {old: "context"} : {model_name: "User", model_id: id, v: "2"}
  end

  # A file: the column holds what Lockbox made of its bytes.
  def license_sha256
    Digest::SHA256.hexdigest(Lockbox.new(key: kms_key).decrypt(license)) if license
  end

  # Found in another letter case too; "" and NULL may be those of several rows.
  def found?
    email.blank? || User.where(email: email.upcase).ids == [id]
  end
end

rows = User.order(:id).map do |user|
  {
    id: user.id, email: user.email, date_of_birth: user.date_of_birth&.iso8601, balance: user.balance, notes: user.notes,
    ssn: user.ssn, phone: user.phone, street: user.street, license_sha256: user.license_sha256, found: user.found?
  }
end
puts JSON.generate(rows)
